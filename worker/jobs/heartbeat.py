"""Renews a claim's lease, and knows when the claim is lost.

One thread renews all leases of the process every second, except those just renewed, since a step may take longer than
a lease. A renewal also takes the latest step to the database, and brings back requests to stop. The painting loop calls
`check` between two chunks: it never paints on a lease that may have ended, and does without the thread if that dies.

Invariant: the lease assumed here ends no later than the database's, because it counts from before the renewal is sent.
While the database is away nobody can take the job, and the loop waits for an answer.
"""

import threading
import time
from collections.abc import Callable
from typing import Self

from shared import logs
from shared.db.base import Database
from shared.db.jobs import claims
from shared.db.jobs.claims import Claim, LostRace, StopRequests
from shared.errors import DatabaseUnavailable
from shared.painting.steps import Step

#: Pause between two rounds of renewals, in seconds.
_EVERY_S = 1.0
#: A claim made or renewed less than this long ago, in seconds, is left to the next round: between two rounds, dozens of
#: small pictures come and go. Both times together bound how late a request to stop arrives without Redis.
_FRESH_S = 0.5

log = logs.get(__name__)


class Heartbeat:
    """One claim's lease: `with Heartbeat(...) as heartbeat: ... heartbeat.check()`."""

    def __init__(
        self, claim: Claim, database: Database, *, lease_s: float, claimed_at: float, leaving: Callable[[], bool]
    ) -> None:
        """Hold `claim`, requested at the monotonic time `claimed_at`; `leaving` tells whether the process is to end."""
        self._claim = claim
        self._database = database
        self._lease_s = lease_s
        self._leaving = leaving
        self._began_at = claimed_at
        self._holds_until = claimed_at + lease_s
        self._requests = StopRequests()
        self._lost = False
        self._away = False
        self._ended = threading.Event()
        self._lock = threading.Lock()
        #: How long earlier attempts ran, in seconds.
        self.ran_before_s = 0.0
        #: The latest step, which the next renewal writes.
        self.progress: Step | None = None

    def __enter__(self) -> Self:
        """Start renewing."""
        _pulse.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop renewing."""
        self.stop()

    def stop(self) -> None:
        """Stop renewing, after a renewal under way."""
        _pulse.remove(self)
        with self._lock:
            self._ended.set()

    @property
    def ran_s(self) -> float:
        """How long the job has run over all attempts, in seconds."""
        return self.ran_before_s + time.monotonic() - self._began_at

    @property
    def fresh(self) -> bool:
        """Whether the claim was made or renewed just now."""
        return self._holds_until - self._lease_s > time.monotonic() - _FRESH_S

    def check(self) -> StopRequests:
        """Return the requests to stop; raise `LostRace` if the claim is void, or in doubt as the process ends."""
        if time.monotonic() >= self._holds_until - self._lease_s / 2:  # the thread is late or dead
            self._beat()
        while not self._lost and time.monotonic() >= self._holds_until:
            if self._leaving():
                self._lost = True
            elif not self._ended.wait(_EVERY_S):
                self._beat()
        if self._lost:
            raise LostRace(self._claim)
        return self._requests

    def _beat(self) -> None:
        """Renew once; record, rather than raise, a lost claim or an unavailable database."""
        with self._lock:
            if self._lost or self._ended.is_set():
                return
            asked_at = time.monotonic()
            try:
                with self._database.writing("renew") as session:
                    self._requests = claims.renew(
                        session, self._claim, lease_s=self._lease_s, ran_s=self.ran_s, progress=self.progress
                    )
            except LostRace:
                self._lost = True
                return
            except DatabaseUnavailable as error:
                if not self._away:
                    log.warning("lease_not_renewed", code=error.code)
                self._away = True
                return
            self._away = False
            self._holds_until = asked_at + self._lease_s


class _Pulse:
    """The thread that renews for all heartbeats of the process; it ends when there are none."""

    def __init__(self) -> None:
        self._beating: dict[Heartbeat, None] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, heartbeat: Heartbeat) -> None:
        """Renew for a heartbeat from now on."""
        with self._lock:
            self._beating[heartbeat] = None
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
                self._thread.start()

    def remove(self, heartbeat: Heartbeat) -> None:
        """Stop renewing for a heartbeat."""
        with self._lock:
            self._beating.pop(heartbeat, None)

    def _run(self) -> None:
        while True:
            time.sleep(_EVERY_S)
            with self._lock:
                beating = list(self._beating)
                if not beating:
                    self._thread = None
                    return
            for heartbeat in beating:
                if not heartbeat.fresh:
                    heartbeat._beat()


_pulse = _Pulse()
