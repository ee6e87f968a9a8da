"""Keeps a claim alive, and knows when it is not.

A thread renews the leases of the process every second, but for fresh ones, since one step may take longer than a
lease; with it go the latest steps to the database and the wishes back. The painting loop asks `check` between two
chunks: it never paints on a lease that may have ended, nor depends on the thread, which may have died.

Invariant: the lease this side believes in ends no later than the database's, since it counts from before the
renewal was sent. While the database is away nobody can take the job, and the loop waits for an answer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from shared import logs
from shared.db.base import Database
from shared.db.jobs import claims
from shared.db.jobs.claims import Claim, LostRace, StopRequests
from shared.errors import DatabaseUnavailable

#: Time between two rounds of renewals, in seconds.
_EVERY_S = 1.0
#: Claims made or renewed less than so long ago, in seconds, are left for the next round: small pictures come and go by
#: the dozen between two. Both times together are how soon a wish is heard without Redis.
_FRESH_S = 0.5

log = logs.get(__name__)


class Heartbeat:
    """One claim's lease: `with Heartbeat(...) as heartbeat: ... heartbeat.check()`."""

    def __init__(
        self, claim: Claim, database: Database, *, lease_s: float, claimed_at: float, leaving: Callable[[], bool]
    ) -> None:
        """Hold `claim`, asked for at the monotonic time `claimed_at`; `leaving`: is this process asked to end?"""
        self._claim = claim
        self._database = database
        self._lease_s = lease_s
        self._leaving = leaving
        self._began_at = claimed_at
        self._holds_until = claimed_at + lease_s
        self._wishes = StopRequests()
        self._lost = False
        self._away = False
        self._ended = threading.Event()
        self._lock = threading.Lock()
        #: How long the job ran in earlier attempts, in seconds.
        self.ran_before_s = 0.0
        #: The latest step, which the next renewal takes along.
        self.progress: dict[str, Any] | None = None

    def __enter__(self) -> Self:
        """Begin to renew."""
        _pulse.add(self)
        return self

    def __exit__(self, *_: TracebackType | type[BaseException] | BaseException | None) -> None:
        """Renew no more."""
        _pulse.remove(self)
        with self._lock:  # a renewal under way is waited for
            self._ended.set()

    @property
    def ran_s(self) -> float:
        """How long the job has run, all attempts together, in seconds."""
        return self.ran_before_s + time.monotonic() - self._began_at

    @property
    def fresh(self) -> bool:
        """Whether the claim need not be renewed yet."""
        return self._holds_until - self._lease_s > time.monotonic() - _FRESH_S

    def check(self) -> StopRequests:
        """Return what is wished; raise `LostRace` once the claim is void, or if nobody knows and we are leaving."""
        if time.monotonic() >= self._holds_until - self._lease_s / 2:  # the thread is late, or dead
            self._beat()
        while not self._lost and time.monotonic() >= self._holds_until:
            if self._leaving():
                self._lost = True
            elif not self._ended.wait(_EVERY_S):
                self._beat()
        if self._lost:
            raise LostRace(self._claim)
        return self._wishes

    def _beat(self) -> None:
        """Renew once; a lost claim and a database that is away are remembered, not raised."""
        with self._lock:
            if self._lost or self._ended.is_set():
                return
            asked_at = time.monotonic()
            try:
                with self._database.writing("renew") as session:
                    self._wishes = claims.renew(
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
    """The thread that has the heartbeats of this process beat; there is none while there is no heartbeat."""

    def __init__(self) -> None:
        self._beating: dict[Heartbeat, None] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, heartbeat: Heartbeat) -> None:
        """Have it beat from now on."""
        with self._lock:
            self._beating[heartbeat] = None
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
                self._thread.start()

    def remove(self, heartbeat: Heartbeat) -> None:
        """Let it beat no more."""
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
