"""The parent's watch over its one painting child, and over whether this worker does its part.

Once a second it says in the database that the worker lives, obeys what an operator wishes, and looks at the job
that the child runs: a child that hung in native code, or outlived its job's limit, is killed and replaced by
Celery's pool, and its job goes back at once. A worker that leaves waiting messages alone replaces itself.

Invariant: everything known of the job comes from the database, so a hung child cannot lie about it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from sqlalchemy.orm import Session

from shared import logs
from shared.db import jobs, queries, workers
from shared.db.base import Database
from shared.db.jobs import Claim, LostRace
from shared.db.models import Job
from shared.dispatch import Messages
from shared.errors import BrokerUnavailable, DatabaseUnavailable, TimedOut
from shared.settings import Settings
from shared.states import Wish

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


class _Sight(NamedTuple):
    """What was last seen of the child's job, and since when it looks so."""

    job_id: str
    attempt: int
    step: int
    since: float
    #: The process that ran it then.
    child: int | None


def replace_process() -> None:
    """Start this process anew in its place."""
    os.execv(sys.executable, [sys.executable, "-m", "worker", "paint"])  # noqa: S606 - ourselves again


class Overseer:
    """Watches one worker from its parent process."""

    def __init__(
        self,
        name: str,
        settings: Settings,
        database: Database,
        messages: Messages,
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
        self._wish = Wish.WORK
        self._sight: _Sight | None = None
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
        with self._database.writing("beat") as session:
            wish = workers.beat(session, self._name)
            job = queries.running_of(session, self._name)
        self._obey(wish)
        if job is not None:
            self._busy_at = self._clock()
            self._look_at(job)
        elif self._pool.busy():
            self._check_idler()
        elif self._wish == Wish.WORK and self._ending_since is None:
            self._check_intake()

    def _obey(self, wish: Wish) -> None:
        if wish == self._wish:
            return
        log.info("worker_instructed", wish=wish)
        if wish == Wish.WORK:
            self._intake.open()
        else:
            self._intake.close()
        self._wish = wish
        self._busy_at = self._clock()

    def _look_at(self, job: Job) -> None:
        """Take the job from its child if that has died, hangs, is over the job's limit, or keeps an ending worker."""
        sight = self._see(job)
        still_s = self._clock() - sight.since
        limit_s = job.time_limit_s or self._settings.time_limit_s
        if self._child() != sight.child:
            self._take(job, "child_died", jobs.lose)
        elif self._ending_since is not None and self._clock() - self._ending_since > _DRAIN_GRACE_S:
            self._kill()
            self._take(
                job, "child_kept_the_worker", lambda session, held: jobs.give_back(session, held, reason="drain")
            )
        elif job.ran_s + still_s > limit_s + _LIMIT_GRACE_S:
            error = TimedOut(f"The job has run for its {limit_s:g} s, and its worker had to be ended.")
            self._kill()
            self._take(job, "child_over_limit", lambda session, held: jobs.fail(session, held, error))
        elif still_s > self._settings.stall_s:
            self._kill()
            self._take(job, "child_hung", jobs.lose)

    def _see(self, job: Job) -> _Sight:
        step = (job.progress or {}).get("step", 0)
        if self._sight is None or self._sight[:2] != (job.id, job.attempt):
            self._sight = _Sight(job.id, job.attempt, step, self._clock(), self._child())
        elif self._sight.step != step:
            self._sight = self._sight._replace(step=step, since=self._clock())
        return self._sight

    def _child(self) -> int | None:
        return next(iter(self._pool.children()), None)

    def _kill(self) -> None:
        for child in self._pool.children():
            os.kill(child, signal.SIGKILL)

    def _take(self, job: Job, reason: str, then: Callable[[Session, Claim], object]) -> None:
        """Write what becomes of a job that nobody paints any more."""
        log.error(reason, job_id=job.id, attempt=job.attempt)
        self._sight = None
        with self._database.writing("take") as session:
            try:
                then(session, Claim(job.id, job.attempt, self._name))
            except LostRace:
                log.info("job_was_gone", job_id=job.id)

    def _check_idler(self) -> None:
        """Kill the child if it is at work on a message and yet holds no job: it froze, and its lease has ended."""
        if self._clock() - self._busy_at > _IDLER_GRACE_S:
            log.error("child_without_job")
            self._kill()
            self._busy_at = self._clock()

    def _check_intake(self) -> None:
        """Replace this process if messages wait, it is idle, and still it takes none."""
        now = self._clock()
        if self._messages.waiting() == 0:
            self._busy_at = now
        elif now - self._busy_at > self._settings.starve_s:
            log.error("worker_starved", seconds=round(now - self._busy_at, 1))
            self._kill()
            self._replace()
