"""A circuit breaker: after a call to a dead service, further calls fail at once for a while.

Without it every request would wait out its own timeout on a service that hangs. When `reset_after_s` has passed, one
call is let through as a probe; the others keep failing at once until it has succeeded.

Invariant: while the circuit is open, a caller gets a copy of the last error without waiting.
"""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


class CircuitBreaker:
    """Guards calls to one service; safe for any number of threads."""

    def __init__(
        self,
        failures: tuple[type[Exception], ...],
        *,
        reset_after_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open the circuit on an error of the types `failures`, and probe again after `reset_after_s`.

        Each type must be constructible from its errors' `args`, since they are raised again as copies.
        """
        self._failures = failures
        self._reset_after_s = reset_after_s
        self._clock = clock
        self._lock = threading.Lock()
        self._error: Exception | None = None
        self._probe_at = 0.0

    def call(self, act: Callable[[], Result]) -> Result:
        """Return `act()`, or raise the last call's error at once while the circuit is open."""
        self._check()
        try:
            result = act()
        except self._failures as error:
            with self._lock:
                self._error, self._probe_at = _fresh(error), self._clock() + self._reset_after_s
            raise
        self._error = None
        return result

    def _check(self) -> None:
        with self._lock:
            error, now = self._error, self._clock()
            if error is None:
                return
            if now >= self._probe_at:
                self._probe_at = now + self._reset_after_s  # this call is the probe; the others wait for its result
                return
        raise _fresh(error)


def _fresh(error: Exception) -> Exception:
    """Copy an error without the traceback of the call that met it."""
    return type(error)(*error.args)
