"""A job as it is now, and waiting for it to change.

There are never more running jobs than the workers hold, so where polls are many, each running job is polled many times
between two of its steps. Its snapshot is cached for a second, and reused as long as Redis knows of no newer step and
of no end. Jobs that wait or have ended are read from the database each time.

Invariant: a running job is shown with its newest step, and no end is missed that a worker or this process's hub has
published; everything else in the snapshot is at most a second old.
"""

import json
import time
from dataclasses import dataclass

from redis import RedisError
from sqlalchemy import select

from api.access import Caller
from api.jobs.queue_position import queue_view
from api.live.forecaster import Forecaster
from api.live.hub import Hub
from api.live.snapshot import CachedSnapshot, JobSnapshot
from api.live.ttl_cache import TtlCache
from shared.db.base import Database
from shared.db.jobs import queries
from shared.db.jobs.queries import ShownJob
from shared.db.models import Job
from shared.messaging.progress import RedisProgress
from shared.painting.steps import Step
from shared.states import TERMINAL, State


@dataclass(frozen=True)
class CurrentJobs:
    """Jobs as they are now, and what it takes to tell."""

    database: Database
    progress: RedisProgress
    forecaster: Forecaster
    snapshots: TtlCache[str, CachedSnapshot]

    def get(self, job_id: str, caller: Caller) -> JobSnapshot:
        """Return a job as it is now: from Redis while it runs, from the database otherwise; raise `NotFound`."""
        cached = self.snapshots.get(job_id)
        if cached is not None:
            known_step, snapshot = cached.last
            step = self._newest_step(job_id) if caller.sees in (None, snapshot.job.owner) else None
            if step == known_step:
                return snapshot
            if step is not None:
                snapshot = self._running(snapshot.job, step)
                cached.last = step, snapshot
                return snapshot
        with self.database.autocommit() as connection:
            job = queries.get_job_row(connection, job_id, owner=caller.sees)
        return self._snapshot(job)

    def _snapshot(self, job: ShownJob) -> JobSnapshot:
        if job.state in TERMINAL:
            return JobSnapshot(job, job.progress)
        if job.state == State.QUEUED:
            with self.database.reading() as session:
                forecast = self.forecaster.forecast_queued(session, job)
                return JobSnapshot(job, job.progress, queue_view(session, job, forecast), forecast.ends)
        step = self._newest_step(job.id)
        snapshot = self._running(job, step)
        if step is not None:
            self.snapshots.keep(job.id, CachedSnapshot((step, snapshot)))
        return snapshot

    def _running(self, job: ShownJob, step: bytes | None) -> JobSnapshot:
        live: Step | None = job.progress if step is None else json.loads(step)
        return JobSnapshot(job, live, eta=self.forecaster.forecast_running(job, live["eta_s"]) if live else None)

    def _newest_step(self, job_id: str) -> bytes | None:
        try:
            return self.progress.get_latest_step(job_id)
        except RedisError:
            return None  # the database's last progress, about a second old, is shown instead


def await_change(database: Database, hub: Hub, job_id: str, caller: Caller, timeout_s: float) -> None:
    """Return when the state of a job changes, at once if it has ended, or after `timeout_s`; raise `NotFound`."""
    with database.reading() as session:
        job = queries.get_job(session, job_id, owner=caller.sees)
    if job.state not in TERMINAL:
        hub.wait_change(job_id, job.state, owner=caller.owner, timeout_s=timeout_s)


def await_end(database: Database, hub: Hub, job_id: str, caller: Caller, timeout_s: float) -> None:
    """Return when a job has ended or is deleted, or after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    state: str | None = State.QUEUED
    while state is not None and state not in TERMINAL and time.monotonic() < deadline:
        if not hub.wait_change(job_id, state, owner=caller.owner, timeout_s=deadline - time.monotonic()):
            return
        with database.reading() as session:
            state = session.scalar(select(Job.state).where(Job.id == job_id))
