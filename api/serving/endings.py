"""How many peers of this process were ended, and why: counted for `/metrics`, and logged every few seconds at most."""

import threading
import time
from collections import Counter
from enum import StrEnum

from shared import logs

log = logs.get(__name__)

#: Time between two lines of the log, in seconds.
_LOG_EVERY_S = 10.0


class Reason(StrEnum):
    """Why a peer was ended."""

    HEAD = "late_head"
    BODY = "stalled_body"
    ANSWER = "unread_answer"
    #: There was no room for it among all the others.
    CROWD = "crowd"


class _Endings:
    """Counts that any thread may add to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[Reason] = Counter()
        self._logged: Counter[Reason] = Counter()
        self._log_at = 0.0

    def add(self, reason: Reason) -> None:
        """Count a peer."""
        with self._lock:
            self._counts[reason] += 1

    def counts(self) -> dict[Reason, int]:
        """Return the number of peers by reason, since the process began."""
        with self._lock:
            return {reason: self._counts[reason] for reason in Reason}

    def log(self) -> None:
        """Log what is new, unless that was done just now; one thread calls this often."""
        if time.monotonic() < self._log_at:
            return
        with self._lock:
            new, self._logged = self._counts - self._logged, self._counts.copy()
        if new:
            self._log_at = time.monotonic() + _LOG_EVERY_S
            log.warning("peers_ended", **{reason.value: count for reason, count in new.items()})


endings = _Endings()
