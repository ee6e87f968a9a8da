"""When a failed request is worth repeating, and how long to wait before that."""

import random
import time
from collections.abc import Callable

from .models import ApiProblem

#: Statuses of a server, or of a proxy in front of it, that may change within moments.
_TRANSIENT = {408, 429, 502, 503, 504}
#: First pause, doubled after each, and the longest one, unless the server asks for more; in seconds.
_FIRST_S, _LONGEST_S = 0.25, 15.0


def is_transient(failure: Exception) -> bool:
    """Say whether the same request may succeed within moments; a lost connection may always be restored."""
    return not isinstance(failure, ApiProblem) or failure.status in _TRANSIENT


def requested_delay_s(failure: Exception) -> float:
    """Return how long the server asked to wait before the next attempt; 0 if it named no time."""
    return (failure.retry_after or 0.0) if isinstance(failure, ApiProblem) else 0.0


class RetryBudget:
    """The time that may still be spent on repeating one request or one download."""

    def __init__(
        self,
        total_s: float,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Allow `total_s` from now; pauses count by their length, everything else by the clock."""
        self._total_s, self._sleep, self._clock = total_s, sleep, clock
        self.reset()

    def reset(self) -> None:
        """Allow the whole time again, because there was progress."""
        self._began_at, self._slept_s, self.pauses = self._clock(), 0.0, 0

    def wait(self, at_least_s: float = 0.0, *, within_s: float = float("inf")) -> bool:
        """Sleep until the next attempt; return False at once if it would exceed the total or `within_s`."""
        pause_s = max(at_least_s, min(_LONGEST_S, _FIRST_S * 2**self.pauses) * random.uniform(0.5, 1.0))  # noqa: S311
        spent_s = max(self._slept_s, self._clock() - self._began_at)
        if spent_s + pause_s > min(self._total_s, within_s):
            return False
        self.pauses += 1
        self._slept_s += pause_s
        self._sleep(pause_s)
        return True
