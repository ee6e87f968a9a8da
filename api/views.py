"""Rows as resources: what a client sees of an image and a job."""

from __future__ import annotations

import hashlib
import math
import time
from datetime import timedelta
from operator import attrgetter
from typing import Any, NamedTuple

from redis import RedisError
from sqlalchemy import select

from api import schemas
from api.access import Caller
from api.checks import Submission
from api.services import Services
from api.waiting import queue_view
from shared import clock
from shared.clock import rfc3339
from shared.costs import Estimate
from shared.db import images, queries
from shared.db.models import Image, Job
from shared.db.queries import Shown
from shared.forecasts import Forecast
from shared.states import TERMINAL, State

#: The shortest and the longest time between two polls that a client is asked for, in seconds.
_POLL_S = (1, 30)
#: Ends that lie farther away are shown as this far, in seconds: a year.
_FARTHEST_S = 365 * 86_400.0
#: What a tag is made of, besides progress, which may be newer than the row's; and what it begins with: releases that
#: show other fields give other tags.
_KEPT = attrgetter(*(name for name in queries.SHOWN if name not in ("place", "predicted_s", "progress")))
_SHAPE = hashlib.sha256(",".join(schemas.JobView.model_fields).encode())


class Sight(NamedTuple):
    """A job at one moment: all that an answer about it is made of."""

    job: Shown
    progress: dict[str, Any] | None = None
    queue: schemas.QueueView | None = None
    eta: Forecast | None = None

    def tag(self) -> str:
        """Return what is another once the view is another, found without making the view.

        A forecast, which is a little older each time, is no news: what was forecast before is as good.
        """
        place = self.queue and (self.queue.position, self.queue.waiting_for)
        mark = _SHAPE.copy()
        mark.update(repr((_KEPT(self.job), self.progress, place)).encode())
        return mark.hexdigest()[:32]

    def view(self) -> schemas.JobView:
        """Show it."""
        return job_view(self.job, live=self.progress, queue=self.queue, eta=self.eta)

    def retry_after_s(self) -> int:
        """Say when to look again: about when the job ends, within reason."""
        eta_s = self.eta.p50_s if self.eta else self.progress["eta_s"] if self.progress else 0
        shortest, longest = _POLL_S
        return max(shortest, min(longest, math.ceil(eta_s)))


def image_view(image: Image, retention_s: float) -> schemas.ImageView:
    """Show an image, which is kept that long after its last use."""
    path = f"/v1/images/{image.id}"
    return schemas.ImageView(
        id=image.id,
        width=image.width,
        height=image.height,
        format=image.format,
        bytes=image.size_bytes,
        created_at=str(rfc3339(image.created_at)),
        expires_at=str(rfc3339(image.last_used_at + timedelta(seconds=images.kept_s(retention_s)))),
        links={"self": path, "content": f"{path}/content"},
    )


def job_view(
    job: Shown,
    *,
    live: dict[str, Any] | None = None,
    queue: schemas.QueueView | None = None,
    eta: Forecast | None = None,
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
        batch_id=job.batch_id,
        key=job.item_key,
        reused_from=job.reused_from,
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
        eta=_eta_view(eta),
        error=error_view(job),
        result=result_view(job),
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


def current_job(services: Services, job_id: str, caller: Caller) -> Sight:
    """Look at a job as it is now: from Redis while it runs, from the database otherwise."""
    with services.database.glancing() as connection:
        job = queries.shown(connection, job_id, owner=caller.sees)
    if job.state in TERMINAL:
        return Sight(job, job.progress)
    if job.state == State.QUEUED:
        with services.database.reading() as session:
            outlook = services.forecaster.outlook(session, job)
            return Sight(job, job.progress, queue_view(services, session, job, outlook), outlook.ends)
    live = _live_step(services, job_id) or job.progress
    return Sight(job, live, eta=services.forecaster.left(job, live["eta_s"]) if live else None)


def result_view(job: Shown) -> schemas.ResultView | None:
    """Show the picture that came out of a job, if one did."""
    if not job.result:
        return None
    return schemas.ResultView.model_validate({**job.result, "expired": job.files_gone_at is not None})


def error_view(job: Shown) -> schemas.ErrorView | None:
    """Show why a job failed, if it did."""
    if job.error_code is None:
        return None
    return schemas.ErrorView(code=job.error_code, message=job.error_message or "", retryable=bool(job.error_retryable))


def _live_step(services: Services, job_id: str) -> dict[str, Any] | None:
    try:
        return services.progress.latest_step(job_id)
    except RedisError:
        return None  # the database's last progress, a second old, is shown instead


def _progress(step: dict[str, Any] | None) -> schemas.ProgressView | None:
    return schemas.ProgressView(**step, fraction=step["step"] / step["total"]) if step else None


def _links(job: Shown) -> dict[str, str]:
    path = f"/v1/jobs/{job.id}"
    links = {"self": path, "events": f"{path}/events"}
    if job.files_gone_at is None:
        links |= {name: f"{path}/{name}" for name in ("preview", "losses")}
    if job.result and job.files_gone_at is None:
        film = ("timelapse",) if "timelapse_key" in job.result else ()
        links |= {name: f"{path}/{name}" for name in ("result", "manifest", *film)}
    if job.state in TERMINAL:
        links |= {"retry": f"{path}/retry", "delete": path}
    else:
        links["cancel"] = f"{path}/cancel"
    return links


def _eta_view(forecast: Forecast | None) -> schemas.EtaView | None:
    if forecast is None:
        return None
    ends_at = clock.now() + timedelta(seconds=min(forecast.p50_s, _FARTHEST_S))
    return schemas.EtaView(
        p50_s=round(forecast.p50_s, 1), p90_s=round(forecast.p90_s, 1), ends_at=str(rfc3339(ends_at))
    )


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
