"""Looking at a job, and waiting for it: all that an answer about it is made of, and the tag that stands for that.

There are never more running jobs than the workers hold, so where polls are many, each of these is polled many times
between two of its steps. So what was seen of one is kept for a second, and is seen again as long as Redis says that
no step has come since, and that the job has not ended. Jobs that wait or have ended are read anew each time.

Invariant: of a running job the newest step is shown, and no end that a worker or this process's hub has told is
missed; what the database alone knows of it is at most a second old.
"""

from __future__ import annotations

import json
import time

from flask import Response, request
from redis import RedisError
from sqlalchemy import select
from werkzeug.http import quote_etag

from api.access import Caller
from api.http.responses import json_response
from api.jobs.queue_position import queue_view
from api.live.snapshot import Seen, Sight
from api.services import Services
from shared.db.jobs import queries
from shared.db.jobs.queries import Shown
from shared.db.models import Job
from shared.painting.steps import Step
from shared.states import TERMINAL, State


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
    with services.database.autocommit() as connection:
        job = queries.get_job_row(connection, job_id, owner=caller.sees)
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
    live: Step | None = job.progress if step is None else json.loads(step)
    return Sight(job, live, eta=services.forecaster.left(job, live["eta_s"]) if live else None)


def _newest_step(services: Services, job_id: str) -> bytes | None:
    try:
        return services.progress.get_latest_step(job_id)
    except RedisError:
        return None  # the database's last progress, a second old, is shown instead


def await_change(services: Services, job_id: str, caller: Caller, timeout_s: float) -> None:
    """Return when the state of a job that has not ended is another one, or after `timeout_s`; raise `NotFound`."""
    with services.database.reading() as session:
        job = queries.get_job(session, job_id, owner=caller.sees)
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


def shown(sight: Sight, status: int = 200) -> Response:
    """Answer with a job, or with 304 if the client has it as it is."""
    etag, has_ended = sight.tag, sight.job.state in TERMINAL
    if request.method == "GET" and request.if_none_match.contains_weak(etag):
        response = Response(status=304)
    else:
        response = json_response(sight.body, status)
        response.headers["Location"] = f"/v1/jobs/{sight.job.id}"
    response.headers["ETag"] = quote_etag(etag, weak=not has_ended)  # until then a forecast counts down
    response.headers["Cache-Control"] = "private, no-cache"
    if not has_ended:
        response.headers["Retry-After"] = str(sight.retry_after_s())
    return response
