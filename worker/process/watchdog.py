"""The parent's watch over its one painting child, and over whether this worker does its part.

Once a second it says in the database that the worker lives, obeys what an operator wishes, and looks at the jobs
that the child runs, one or a group of them: a child that hung in native code, or in it outlived a job's limit, is
killed and replaced by Celery's pool, and all its jobs go back at once. A worker that leaves waiting messages alone
replaces itself.

Invariant: everything known of the jobs comes from the database, so a hung child cannot lie about them.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from sqlalchemy.orm import Session

from shared import logs
from shared.db import workers
from shared.db.base import Database
from shared.db.jobs import queries, transitions
from shared.db.jobs.claims import Claim, LostRace
from shared.db.models import Job
from shared.errors import BrokerUnavailable, DatabaseUnavailable, TimedOut
from shared.messaging.dispatch import MessageQueue
from shared.settings import Settings
from shared.states import DesiredState
from worker.process.job_observations import Sights

#: Time between two looks, in seconds.
_EVERY_S = 1.0
#: How long a child may take to stop by itself once its job's limit has passed, in seconds.
_LIMIT_GRACE_S = 5.0
#: How long a child may be at work on a message without holding a job, in seconds: before its claim, and after.
_IDLER_GRACE_S = 5.0
#: How long a child may take to hand its job back when the worker ends, in seconds.
_DRAIN_GRACE_S = 8.0

log = logs.get(__name__)


class Intake(Protocol):
    """The worker's tap on the queue of messages."""

    def open(self) -> None:
        """Take messages."""

    def close(self) -> None:
        """Take no more."""


class Pool(Protocol):
    """The worker's child processes; there is one, or none while it is replaced."""

    def children(self) -> list[int]:
        """List their process ids."""

    def busy(self) -> bool:
        """Say whether a child is at work on a message."""


#: What is written of a job that nobody paints any more.
_End = Callable[[Session, Claim], object]


def replace_process() -> None:
    """Start this process anew in its place."""
    os.execv(sys.executable, [sys.executable, "-P", "-m", "worker", "paint"])  # noqa: S606 - ourselves again


class Overseer:
    """Watches one worker from its parent process."""

    def __init__(
        self,
        name: str,
        settings: Settings,
        database: Database,
        messages: MessageQueue,
        intake: Intake,
        pool: Pool,
        *,
        replace: Callable[[], None] = replace_process,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Watch the worker `name`, whose child is in `pool`; `replace` starts this process anew."""
        self._name = name
        self._settings = settings
        self._database = database
        self._messages = messages
        self._intake = intake
        self._pool = pool
        self._replace = replace
        self._clock = clock
        self._wish = DesiredState.WORK
        self._sights = Sights(clock())
        self._busy_at = clock()
        self._ending_since: float | None = None
        self._away = False

    def start(self) -> None:
        """Watch from a thread until the process ends."""
        threading.Thread(target=self._watch, name="overseer", daemon=True).start()

    def end(self) -> None:
        """Remember that the worker is asked to end: its child has a while to hand its job back."""
        self._ending_since = self._clock()

    def message_taken(self) -> None:
        """Remember that the worker does take messages."""
        self._busy_at = self._clock()

    def _watch(self) -> None:
        try:
            while True:
                self.look_patiently()
                time.sleep(_EVERY_S)
        finally:  # a worker without its watch drains, ends, and is started again
            os.kill(os.getpid(), signal.SIGTERM)

    def look_patiently(self) -> None:
        """Look once; a database or a broker that is away is logged once, and not the worker's fault."""
        try:
            self.look()
            self._away = False
        except (DatabaseUnavailable, BrokerUnavailable) as error:
            if not self._away:
                log.warning("overseer_blind", code=error.code)
            self._away = True
            self._busy_at = self._clock()

    def look(self) -> None:
        """Look once; raise `DatabaseUnavailable` or `BrokerUnavailable`."""
        self._sights.child(next(iter(self._pool.children()), None))
        with self._database.writing("beat") as session:
            wish = workers.record_heartbeat(session, self._name)
            running = queries.list_running_on(session, self._name)
        self._obey(wish)
        self._sights.jobs(running, self._clock())
        if running:
            self._busy_at = self._clock()
            self._look_at(running)
        elif self._pool.busy():
            self._check_idler()
        elif self._wish == DesiredState.WORK and self._ending_since is None:
            self._check_intake()

    def _obey(self, wish: DesiredState) -> None:
        if wish == self._wish:
            return
        log.info("worker_instructed", wish=wish)
        if wish == DesiredState.WORK:
            self._intake.open()
        else:
            self._intake.close()
        self._wish = wish
        self._busy_at = self._clock()

    def _look_at(self, running: Sequence[Job]) -> None:
        """Take the jobs from a child that has died, hangs, is over a job's limit, or keeps an ending worker."""
        now = self._clock()
        still_s = self._sights.still_s(now)
        orphans = {job.id for job in running if self._sights.is_orphan(job)}
        over = {job.id: self._limit_s(job) for job in running if self._is_over(job, now)}
        if orphans:
            self._take("child_died", transitions.lose, orphans)
        elif self._ending_since is not None and now - self._ending_since > _DRAIN_GRACE_S:
            self._kill()
            self._take("child_kept_the_worker", _give_back)
        elif over and still_s > _LIMIT_GRACE_S:  # one that makes steps ends the job by itself
            self._kill()
            self._take("child_over_limit", _fail_those_over(over))
        elif still_s > self._settings.stall_s:
            self._kill()
            self._take("child_hung", transitions.lose)

    def _is_over(self, job: Job, now: float) -> bool:
        return self._sights.ran_s(job, now) > self._limit_s(job) + _LIMIT_GRACE_S

    def _limit_s(self, job: Job) -> float:
        return job.time_limit_s or self._settings.time_limit_s

    def _kill(self) -> None:
        for child in self._pool.children():
            os.kill(child, signal.SIGKILL)

    def _take(self, reason: str, end: _End, only: Container[str] | None = None) -> None:
        """Write what becomes of the jobs that nobody paints any more, with those claimed since we looked."""
        with self._database.writing("take") as session:
            for job in queries.list_running_on(session, self._name):
                if only is None or job.id in only:
                    log.error(reason, job_id=job.id, attempt=job.attempt)
                    with suppress(LostRace):  # it has ended meanwhile
                        end(session, Claim(job.id, job.attempt, self._name))

    def _check_idler(self) -> None:
        """Kill the child if it is at work on a message and yet holds no job: it froze, and its lease has ended."""
        if self._clock() - self._busy_at > _IDLER_GRACE_S:
            log.error("child_without_job")
            self._kill()
            self._busy_at = self._clock()

    def _ready(self) -> bool:
        """Say whether the child there is now has told what it paints with."""
        with self._database.reading() as session:
            about = workers.get_description(session, self._name)
        return about is not None and about.get("process") in self._pool.children()

    def _check_intake(self) -> None:
        """Replace this process if messages wait, it is idle, and still it takes none.

        A child that has yet to open its painter, which may have to learn its weights, is given as long as a step.
        """
        now = self._clock()
        if not any(self._messages.get_depth()):
            self._busy_at = now
        elif now - self._busy_at > (self._settings.starve_s if self._ready() else self._settings.stall_s):
            log.error("worker_starved", seconds=round(now - self._busy_at, 1))
            self._kill()
            self._replace()


def _give_back(session: Session, held: Claim) -> None:
    transitions.give_back(session, held, reason="drain")


def _fail_those_over(limits_s: Mapping[str, float]) -> _End:
    """Fail the jobs over their limits; what was painted with them goes back, uncounted, and alone from now on."""

    def end(session: Session, held: Claim) -> None:
        limit_s = limits_s.get(held.job_id)
        if limit_s is None:
            transitions.give_back(session, held, reason="companion_over_limit")
        else:
            error = TimedOut(f"The job has run for its {limit_s:g} s, and its worker had to be ended.")
            transitions.fail(session, held, error)

    return end
