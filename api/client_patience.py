"""How long to go on asking a server that cannot answer now: pauses that double, within a total time.

Invariant: no pause is shorter than the server asked for, and none is begun that would end after the total.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

#: First pause, doubled after each, and the longest, unless the server asks for more; in seconds.
_FIRST_S, _LONGEST_S = 0.25, 15.0


class Patience:
    """What is left of the time for one request, or for one download."""

    def __init__(
        self,
        total_s: float,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Have `total_s` from now; what is slept counts by its length, and the rest by the clock."""
        self._total_s, self._sleep, self._clock = total_s, sleep, clock
        self.renew()

    def renew(self) -> None:
        """Have the whole time again, since there was progress."""
        self._began_at, self._slept_s, self.pauses = self._clock(), 0.0, 0

    def pause(self, asked_s: float = 0.0, *, within_s: float = float("inf")) -> bool:
        """Sleep until the next try; False, at once, if that is later than the total, or than `within_s`, allows."""
        pause_s = max(asked_s, min(_LONGEST_S, _FIRST_S * 2**self.pauses) * random.uniform(0.5, 1.0))  # noqa: S311
        spent_s = max(self._slept_s, self._clock() - self._began_at)
        if spent_s + pause_s > min(self._total_s, within_s):
            return False
        self.pauses += 1
        self._slept_s += pause_s
        self._sleep(pause_s)
        return True
