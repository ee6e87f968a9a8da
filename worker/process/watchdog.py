"""The parent process's watchdog over its one painting child.

Once a second it renews the worker's heartbeat, applies the state that an operator wants, and checks the jobs that the
child runs. A child that hangs in native code, or there exceeds a job's time limit, is killed; Celery's pool replaces
it, and all its jobs return to the queue at once. A worker that ignores waiting messages restarts itself.

Invariant: all knowledge of jobs comes from the database, so a hung child cannot misreport them.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol

from sqlalchemy.orm import Session

from shared import logs
from shared.db import workers
from shared.db.base import Database
from shared.db.jobs import queries, transitions
from shared.db.jobs.claims import Claim, LostRace
from shared.db.models import Job
from shared.errors import BrokerUnavailable, DatabaseUnavailable, TimedOut
from shared.messaging.broker import Broker
from shared.settings import Settings
from shared.states import DesiredState
from worker.process import REPLACED
from worker.process.job_observations import JobObservations

#: Time between two checks, in seconds.
_EVERY_S = 1.0
#: How long a child may take to stop by itself after its job's time limit, in seconds.
_LIMIT_GRACE_S = 5.0
#: How long a child may work on a message without holding a job, in seconds: before its claim, and after its last job.
_IDLE_GRACE_S = 5.0
#: How long a child may take to hand its jobs back when the worker shuts down, in seconds.
_DRAIN_GRACE_S = 8.0

log = logs.get(__name__)


class Consumer(Protocol):
    """The worker's consumer of the paint queue."""

    def open(self) -> None:
        """Start taking messages."""

    def close(self) -> None:
        """Stop taking messages."""


class Pool(Protocol):
    """The worker's child processes: one, or none while it is being replaced."""

    def children(self) -> list[int]:
        """List their process ids."""

    def busy(self) -> bool:
        """Tell whether a child is working on a message."""

    def refill(self) -> None:
        """Start a child if there is none."""


#: Writes what becomes of a job that its child no longer paints.
_Release = Callable[[Session, Claim], object]


def replace_process() -> None:
    """Restart this process in place; it then reaps its children, which are killed by now."""
    os.environ[REPLACED] = "1"
    os.execv(sys.executable, [sys.executable, "-P", "-m", "worker", "paint"])  # noqa: S606 - ourselves again


class Watchdog:
    """Watches one worker from its parent process."""

    def __init__(
        self,
        name: str,
        settings: Settings,
        database: Database,
        messages: Broker,
        consumer: Consumer,
        pool: Pool,
        *,
        replace: Callable[[], None] = replace_process,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Watch the worker `name`, whose child is in `pool`; `replace` restarts this process."""
        self._name = name
        self._settings = settings
        self._database = database
        self._messages = messages
        self._consumer = consumer
        self._pool = pool
        self._replace = replace
        self._clock = clock
        self._desired = DesiredState.WORK
        self._jobs = JobObservations(clock())
        self._busy_at = self._idle_at = clock()
        self._ready = True
        self._ending_since: float | None = None
        self._away = False

    def start(self, *, died: Callable[[], object]) -> None:
        """Check from a thread until the process ends; call `died` if the thread ends first, and so the worker."""
        threading.Thread(target=self._watch, args=(died,), name="watchdog", daemon=True).start()

    def end(self) -> None:
        """Note that the worker is shutting down: its child has `_DRAIN_GRACE_S` to hand its jobs back."""
        self._ending_since = self._clock()

    def message_taken(self) -> None:
        """Note that the worker takes messages."""
        self._busy_at = self._clock()

    def _watch(self, died: Callable[[], object]) -> None:
        try:
            while True:
                self.check_safely()
                time.sleep(_EVERY_S)
        finally:  # without its watchdog a worker drains and ends, to be started again
            died()
            os.kill(os.getpid(), signal.SIGTERM)

    def check_safely(self) -> None:
        """Check once; an unavailable database or broker is logged once, and its outage not held against the worker."""
        try:
            self.check()
            self._away = False
        except (DatabaseUnavailable, BrokerUnavailable) as error:
            if not self._away:
                log.warning("watchdog_blind", code=error.code)
            self._away = True
            self._busy_at = self._clock()

    def check(self) -> None:
        """Check once; raise `DatabaseUnavailable` or `BrokerUnavailable`."""
        child = next(iter(self._pool.children()), None)
        self._jobs.observe_child(child)
        if child is None and self._ending_since is None:
            self._pool.refill()  # which it does by itself only every five seconds
        with self._database.writing("beat") as session:
            desired = workers.record_heartbeat(session, self._name)
            running = queries.list_running_on(session, self._name)
        self._apply(desired)
        self._jobs.observe_jobs(running, self._clock())
        if running:
            self._busy_at = self._clock()
            self._check_jobs(running)
        elif self._pool.busy():
            self._check_child_without_job()
        else:
            self._idle_at = self._clock()
            if self._desired == DesiredState.WORK and self._ending_since is None:
                self._check_consumer()

    def _apply(self, desired: DesiredState) -> None:
        if desired == self._desired:
            return
        log.info("desired_state_changed", desired=desired)
        if desired == DesiredState.WORK:
            self._consumer.open()
        else:
            self._consumer.close()
        self._desired = desired
        self._busy_at = self._clock()

    def _check_jobs(self, running: Sequence[Job]) -> None:
        """Release the jobs of a child that died, hangs, exceeds a job's time limit, or delays the shutdown."""
        now = self._clock()
        stalled_s = self._jobs.stalled_s(now)
        orphans = {job.id for job in running if self._jobs.is_orphan(job)}
        over = {job.id: self._limit_s(job) for job in running if self._is_over(job, now)}
        if orphans:
            self._release("child_died", transitions.lose, orphans)
        elif self._ending_since is not None and now - self._ending_since > _DRAIN_GRACE_S:
            self._kill()
            self._release("child_delays_shutdown", partial(transitions.give_back, reason="drain"))
        elif over and stalled_s > _LIMIT_GRACE_S:  # a child that makes steps ends the job by itself
            self._kill()
            self._release("child_over_limit", partial(_fail_if_over, over))
        elif stalled_s > self._settings.stall_s:
            self._kill()
            self._release("child_hung", transitions.lose)

    def _is_over(self, job: Job, now: float) -> bool:
        return self._jobs.ran_s(job, now) > self._limit_s(job) + _LIMIT_GRACE_S

    def _limit_s(self, job: Job) -> float:
        return job.time_limit_s or self._settings.time_limit_s

    def _kill(self) -> None:
        for child in self._pool.children():
            os.kill(child, signal.SIGKILL)

    def _release(self, reason: str, release: _Release, only: Container[str] | None = None) -> None:
        """Release the worker's jobs, or those among `only`, including any claimed since the check began."""
        with self._database.writing("take") as session:
            for job in queries.list_running_on(session, self._name):
                if only is None or job.id in only:
                    log.error(reason, job_id=job.id, attempt=job.attempt)
                    with suppress(LostRace):  # the attempt has ended meanwhile
                        release(session, Claim(job.id, job.attempt, self._name))

    def _check_child_without_job(self) -> None:
        """Kill a child that works on a message but holds no job: it froze, and its lease has ended.

        The message may be older than the child, which begins it when it has opened its painter.
        """
        if self._clock() - max(self._busy_at, self._idle_at) > _IDLE_GRACE_S:
            log.error("child_without_job")
            self._kill()
            self._busy_at = self._clock()

    def _is_ready(self) -> bool:
        """Tell whether the current child has registered its painter."""
        with self._database.reading() as session:
            about = workers.get_description(session, self._name)
        return about is not None and about.get("process") in self._pool.children()

    def _check_consumer(self) -> None:
        """Restart this process if messages wait and it takes none although idle.

        A child that is still opening its painter, which may train its weights first, gets `stall_s` instead.
        """
        now, was_ready = self._clock(), self._ready
        if not any(self._messages.get_depth()):
            self._busy_at = now
            return
        self._ready = self._is_ready()
        if self._ready and not was_ready:
            self._busy_at = now
        elif now - self._busy_at > (self._settings.starve_s if self._ready else self._settings.stall_s):
            log.error("worker_starved", seconds=round(now - self._busy_at, 1))
            self._kill()
            self._replace()


def _fail_if_over(limits_s: Mapping[str, float], session: Session, held: Claim) -> None:
    """Fail a job over its limit; one painted with it goes back uncounted, and is painted alone from now on."""
    limit_s = limits_s.get(held.job_id)
    if limit_s is None:
        transitions.give_back(session, held, reason="companion_over_limit")
    else:
        error = TimedOut(f"The job exceeded its {limit_s:g} s, and its worker process had to be killed.")
        transitions.fail(session, held, error)
