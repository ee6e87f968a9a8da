"""Rows as resources: what a client sees of an image and a job."""

from __future__ import annotations

from datetime import timedelta

from api.schemas import jobs
from api.schemas.jobs import JobRequest
from shared import clock
from shared.clock import rfc3339
from shared.db import images
from shared.db.jobs.queries import Shown
from shared.db.models import Image
from shared.painting.costs import Estimate
from shared.painting.forecasts import Forecast
from shared.painting.params import StyleParams
from shared.painting.steps import Step
from shared.states import TERMINAL, State

#: Ends that lie farther away are shown as this far, in seconds: a year.
_FARTHEST_S = 365 * 86_400.0


def image_view(image: Image, retention_s: float) -> jobs.ImageView:
    """Show an image, which is kept that long after its last use."""
    path = f"/v1/images/{image.id}"
    return jobs.ImageView(
        id=image.id,
        width=image.width,
        height=image.height,
        format=image.format,
        bytes=image.size_bytes,
        created_at=str(rfc3339(image.created_at)),
        expires_at=str(rfc3339(image.last_used_at + timedelta(seconds=images.effective_retention_s(retention_s)))),
        links={"self": path, "content": f"{path}/content"},
    )


def job_view(
    job: Shown,
    *,
    live: Step | None = None,
    queue: jobs.QueueView | None = None,
    eta: Forecast | None = None,
) -> jobs.JobView:
    """Show a job, with its live progress if it runs and its place in line if it waits."""
    return jobs.JobView(
        id=job.id,
        owner=job.owner,
        state=State(job.state),
        preset=job.preset,
        params=job.params,
        weights=job.weights or ({"name": job.weights_wanted} if job.weights_wanted else None),
        content=job.content_id,
        styles=[jobs.StyleChoice(**style) for style in job.styles],
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


def dry_run_view(
    request: JobRequest, params: StyleParams, init_id: str | None, estimate: Estimate | None
) -> jobs.DryRunView:
    """Show a job that is not queued."""
    return jobs.DryRunView(
        preset=request.preset.value,
        params=params.model_dump(mode="json"),
        weights={"name": request.weights} if request.weights_wanted() else None,
        content=request.content,
        styles=request.style_choices(),
        init_image=init_id,
        estimate=estimate
        and jobs.EstimateView(
            seconds=round(estimate.seconds, 3),
            peak_bytes=estimate.peak_bytes,
            tile_size=estimate.tile_size,
            scales=[jobs.SizeView(width=width, height=height) for height, width in estimate.scales],
        ),
    )


def result_view(job: Shown) -> jobs.ResultView | None:
    """Show the picture that came out of a job, if one did."""
    if not job.result:
        return None
    return jobs.ResultView.model_validate({**job.result, "expired": job.files_gone_at is not None})


def error_view(job: Shown) -> jobs.ErrorView | None:
    """Show why a job failed, if it did."""
    if job.error_code is None:
        return None
    return jobs.ErrorView(code=job.error_code, message=job.error_message or "", retryable=bool(job.error_retryable))


def _progress(step: Step | None) -> jobs.ProgressView | None:
    return jobs.ProgressView(**step, fraction=step["step"] / step["total"]) if step else None


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


def _eta_view(forecast: Forecast | None) -> jobs.EtaView | None:
    if forecast is None:
        return None
    ends_at = clock.now() + timedelta(seconds=min(forecast.p50_s, _FARTHEST_S))
    return jobs.EtaView(p50_s=round(forecast.p50_s, 1), p90_s=round(forecast.p90_s, 1), ends_at=str(rfc3339(ends_at)))
