"""Looking at a job, and waiting for it: all that an answer about it is made of, and the tag that stands for that.

There are never more running jobs than the workers hold, so where polls are many, each of these is polled many times
between two of its steps. So what was seen of one is kept for a second, and is seen again as long as Redis says that
no step has come since, and that the job has not ended. Jobs that wait or have ended are read anew each time.

Invariant: of a running job the newest step is shown, and no end that a worker or this process's hub has told is
missed; what the database alone knows of it is at most a second old.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Any

from redis import RedisError
from sqlalchemy import select

from api import schemas
from api.access import Caller
from api.jobs.queue_position import queue_view
from api.services import Services
from api.views import job_view
from shared.db import queries
from shared.db.models import Job
from shared.db.queries import Shown
from shared.forecasts import Forecast
from shared.states import TERMINAL, State

#: The shortest and the longest time between two polls that a client is asked for, in seconds.
_POLL_S = (1, 30)
#: What a tag is made of, besides progress, which may be newer than the row's; and what it begins with: releases that
#: show other fields give other tags.
_KEPT = attrgetter(*(name for name in queries.SHOWN if name not in ("place", "predicted_s", "progress")))
_SHAPE = hashlib.sha256(",".join(schemas.JobView.model_fields).encode())


@dataclass(frozen=True)
class Sight:
    """A job at one moment: all that an answer about it is made of."""

    job: Shown
    progress: dict[str, Any] | None = None
    queue: schemas.QueueView | None = None
    eta: Forecast | None = None

    @cached_property
    def tag(self) -> str:
        """What is another once the view is another, found without making the view.

        A forecast, which is a little older each time, is no news: what was forecast before is as good.
        """
        place = self.queue and (self.queue.position, self.queue.waiting_for)
        mark = _SHAPE.copy()
        mark.update(repr((_KEPT(self.job), self.progress, place)).encode())
        return mark.hexdigest()[:32]

    @cached_property
    def body(self) -> str:
        """The view as JSON."""
        return self.view().model_dump_json()

    def view(self) -> schemas.JobView:
        """Show it."""
        return job_view(self.job, live=self.progress, queue=self.queue, eta=self.eta)

    def retry_after_s(self) -> int:
        """Say when to look again: about when the job ends, within reason."""
        eta_s = self.eta.p50_s if self.eta else self.progress["eta_s"] if self.progress else 0
        shortest, longest = _POLL_S
        return max(shortest, min(longest, math.ceil(eta_s)))


@dataclass
class Seen:
    """A running job as it was seen last: both its newest step, as Redis has it, and the sight, of one moment."""

    last: tuple[bytes, Sight]


def current_job(services: Services, job_id: str, caller: Caller) -> Sight:
    """Look at a job as it is now: from Redis while it runs, from the database otherwise; raise `NotFound`."""
    seen = services.seen.get(job_id)
    if seen is not None:
        known_step, sight = seen.last
        step = _newest_step(services, job_id) if caller.sees in (None, sight.job.owner) else None
        if step == known_step:
            return sight
        if step is not None:
            sight = _running(services, sight.job, step)
            seen.last = step, sight
            return sight
    with services.database.glancing() as connection:
        job = queries.shown(connection, job_id, owner=caller.sees)
    return _looked_at(services, job)


def _looked_at(services: Services, job: Shown) -> Sight:
    if job.state in TERMINAL:
        return Sight(job, job.progress)
    if job.state == State.QUEUED:
        with services.database.reading() as session:
            outlook = services.forecaster.outlook(session, job)
            return Sight(job, job.progress, queue_view(services, session, job, outlook), outlook.ends)
    step = _newest_step(services, job.id)
    sight = _running(services, job, step)
    if step is not None:
        services.seen.keep(job.id, Seen((step, sight)))
    return sight


def _running(services: Services, job: Shown, step: bytes | None) -> Sight:
    live = job.progress if step is None else json.loads(step)
    return Sight(job, live, eta=services.forecaster.left(job, live["eta_s"]) if live else None)


def _newest_step(services: Services, job_id: str) -> bytes | None:
    try:
        return services.progress.newest_step(job_id)
    except RedisError:
        return None  # the database's last progress, a second old, is shown instead


def await_change(services: Services, job_id: str, caller: Caller, timeout_s: float) -> None:
    """Return when the state of a job that has not ended is another one, or after `timeout_s`; raise `NotFound`."""
    with services.database.reading() as session:
        job = queries.job(session, job_id, owner=caller.sees)
    if job.state not in TERMINAL:
        services.hub.wait_change(job_id, job.state, timeout_s=timeout_s)


def await_end(services: Services, job_id: str, timeout_s: float) -> None:
    """Return when a job has ended or is gone, or after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    state: str | None = State.QUEUED
    while state is not None and state not in TERMINAL and time.monotonic() < deadline:
        if not services.hub.wait_change(job_id, state, timeout_s=deadline - time.monotonic()):
            return
        with services.database.reading() as session:
            state = session.scalar(select(Job.state).where(Job.id == job_id))
