"""Rows as resources: what a client sees of an image and a job."""

from __future__ import annotations

import math
import time
from typing import Any, Literal

from redis import RedisError
from sqlalchemy import select
from sqlalchemy.orm import Session

from api import schemas
from api.access import Caller
from api.checks import Submission
from api.services import Services
from shared.clock import rfc3339
from shared.costs import Estimate
from shared.db import queries, workers
from shared.db.models import Image, Job
from shared.states import TERMINAL, State

#: The shortest and the longest time between two polls that a client is asked for, in seconds.
_POLL_S = (1, 30)


def image_view(image: Image) -> schemas.ImageView:
    """Show an image."""
    path = f"/v1/images/{image.id}"
    return schemas.ImageView(
        id=image.id,
        width=image.width,
        height=image.height,
        format=image.format,
        bytes=image.size_bytes,
        created_at=str(rfc3339(image.created_at)),
        links={"self": path, "content": f"{path}/content"},
    )


def job_view(
    job: Job, *, live: dict[str, Any] | None = None, queue: schemas.QueueView | None = None
) -> schemas.JobView:
    """Show a job, with its live progress if it runs and its place in line if it waits."""
    return schemas.JobView(
        id=job.id,
        owner=job.owner,
        state=State(job.state),
        preset=job.preset,
        params=job.params,
        weights=job.weights or ({"name": job.weights_wanted} if job.weights_wanted else None),
        content=job.content_id,
        styles=[schemas.StyleChoice(**style) for style in job.styles],
        init_image=job.init_id,
        priority=job.priority,
        label=job.label,
        metadata=job.annotations,
        batch_id=None,
        retry_of=job.retry_of,
        attempt=job.attempt,
        retry_at=rfc3339(job.retry_at) if job.state == State.QUEUED else None,
        start_by=rfc3339(job.start_by),
        time_limit_s=job.time_limit_s,
        retention_s=job.retention_s,
        webhook=job.webhook,
        worker=job.worker,
        progress=_progress(live or job.progress),
        queue=queue,
        error=_error(job),
        result=schemas.ResultView.model_validate(job.result) if job.result else None,
        created_at=str(rfc3339(job.created_at)),
        started_at=rfc3339(job.started_at),
        ended_at=rfc3339(job.ended_at),
        expires_at=rfc3339(job.expires_at),
        links=_links(job),
    )


def dry_run_view(submission: Submission, estimate: Estimate | None) -> schemas.DryRunView:
    """Show a job that is not queued."""
    request = submission.request
    return schemas.DryRunView(
        preset=request.preset.value,
        params=submission.params.model_dump(mode="json"),
        weights={"name": request.weights} if request.weights_wanted() else None,
        content=request.content,
        styles=request.style_choices(),
        init_image=submission.init_id,
        estimate=estimate
        and schemas.EstimateView(
            seconds=round(estimate.seconds, 3),
            peak_bytes=estimate.peak_bytes,
            tile_size=estimate.tile_size,
            scales=[schemas.SizeView(width=width, height=height) for height, width in estimate.scales],
        ),
    )


def current_job(services: Services, job_id: str, caller: Caller) -> schemas.JobView:
    """Show a job as it is now: from Redis while it runs, from the database otherwise."""
    with services.database.reading() as session:
        job = queries.job(session, job_id, owner=caller.sees)
        queue = _queue_view(session, job) if job.state == State.QUEUED else None
    live = _live_step(services, job_id) if job.state == State.RUNNING else None
    return job_view(job, live=live, queue=queue)


def retry_after_s(view: schemas.JobView) -> int:
    """Say when to look again: about when a running job ends, within reason."""
    eta_s = view.progress.eta_s if view.progress else 0
    shortest, longest = _POLL_S
    return max(shortest, min(longest, math.ceil(eta_s)))


def _live_step(services: Services, job_id: str) -> dict[str, Any] | None:
    try:
        return services.progress.latest_step(job_id)
    except RedisError:
        return None  # the database's last progress, a second old, is shown instead


def _progress(step: dict[str, Any] | None) -> schemas.ProgressView | None:
    return schemas.ProgressView(**step, fraction=step["step"] / step["total"]) if step else None


def _error(job: Job) -> schemas.ErrorView | None:
    if job.error_code is None:
        return None
    return schemas.ErrorView(code=job.error_code, message=job.error_message or "", retryable=bool(job.error_retryable))


def _links(job: Job) -> dict[str, str]:
    path = f"/v1/jobs/{job.id}"
    links = {"self": path, **{name: f"{path}/{name}" for name in ("events", "preview", "losses")}}
    if job.result:
        film = ("timelapse",) if "timelapse_key" in job.result else ()
        links |= {name: f"{path}/{name}" for name in ("result", "manifest", *film)}
    if job.state in TERMINAL:
        links |= {"retry": f"{path}/retry", "delete": path}
    else:
        links["cancel"] = f"{path}/cancel"
    return links


def _queue_view(session: Session, job: Job) -> schemas.QueueView:
    position = queries.queue_position(session, job)
    return schemas.QueueView(position=position, eta_s=None, waiting_for=_waiting_for(session))


def _waiting_for(session: Session) -> Literal["paused", "no_worker", "turn"]:
    queue = workers.queue(session)
    if queue.paused_at or queue.held_for:
        return "paused"
    return "turn" if workers.willing_count(session) else "no_worker"


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
