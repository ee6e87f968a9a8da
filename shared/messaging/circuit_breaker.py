"""A circuit breaker: once a call has found nobody there, the next ones fail at once for a while.

Without it every request would wait out its own timeout on a service that is frozen. After the rest one call
tries; the others keep failing at once until it has come back.

Invariant: a caller gets the error that the last call got, never a wait for a service known to be away.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")


class Breaker:
    """Guards calls to one service; any number of threads may use it."""

    def __init__(
        self, away: tuple[type[Exception], ...], *, rest_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Take errors of the kinds `away` to mean that nobody is there, and then rest for `rest_s`."""
        self._away = away
        self._rest_s = rest_s
        self._clock = clock
        self._lock = threading.Lock()
        self._trouble: Exception | None = None
        self._try_at = 0.0

    def call(self, act: Callable[[], Answer]) -> Answer:
        """Do `act`, or raise at once what the last call raised."""
        self._pass()
        try:
            answer = act()
        except self._away as error:
            with self._lock:
                self._trouble, self._try_at = _fresh(error), self._clock() + self._rest_s
            raise
        self._trouble = None
        return answer

    def _pass(self) -> None:
        with self._lock:
            trouble, now = self._trouble, self._clock()
            if trouble is None:
                return
            if now >= self._try_at:
                self._try_at = now + self._rest_s  # this call tries, and the others wait for what it finds
                return
        raise _fresh(trouble)


def _fresh(error: Exception) -> Exception:
    """Copy an error without the traceback of the call that met it."""
    return type(error)(*error.args)
