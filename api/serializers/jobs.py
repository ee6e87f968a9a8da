"""What clients see of images and jobs."""

from datetime import datetime, timedelta

from api.schemas import jobs
from api.schemas.jobs import JobRequest
from api.serializers.rows import serialize
from shared import clock
from shared.clock import rfc3339
from shared.db import images
from shared.db.jobs.queries import ShownJob
from shared.db.models import Image
from shared.painting.costs import Estimate
from shared.painting.forecasts import Forecast
from shared.painting.params import StyleParams
from shared.painting.results import strength_of
from shared.painting.steps import Step
from shared.states import TERMINAL, State

#: Cap of `ends_at`, in seconds from now: one year.
_MAX_ETA_S = 365 * 86_400.0


def serialize_image(image: Image, created_at: datetime, retention_s: float) -> jobs.ImageView:
    """Serialize an image that its reader uploaded at `created_at`, whenever others uploaded the same bytes.

    It expires `retention_s` after its last use, at the earliest.
    """
    path = f"/v1/images/{image.id}"
    expires_at = image.last_used_at + timedelta(seconds=images.effective_retention_s(retention_s))
    links = {"self": path, "content": f"{path}/content"}
    times = {"created_at": rfc3339(created_at), "expires_at": rfc3339(expires_at)}
    return serialize(jobs.ImageView, image, bytes=image.size_bytes, **times, links=links)


def serialize_job(
    job: ShownJob, *, live: Step | None = None, queue: jobs.QueueView | None = None, eta: Forecast | None = None
) -> jobs.JobView:
    """Serialize a job, with `live` progress that is newer than the row's, its place in the queue and its ETA."""
    return serialize(
        jobs.JobView,
        job,
        weights=job.weights or ({"name": job.weights_wanted} if job.weights_wanted else None),
        content=job.content_id,
        name=photograph_name(job),
        init_image=job.init_id,
        metadata=job.annotations,
        key=job.item_key,
        retry_at=rfc3339(job.retry_at) if job.state == State.QUEUED else None,
        progress=_progress(live or job.progress),
        queue=queue,
        eta=_eta(eta),
        error=serialize_error(job),
        result=serialize_result(job),
        links=_links(job),
    )


def photograph_name(job: ShownJob) -> str | None:
    """Return the file name of a job's photograph: as the client gave it, or the last part of an item's key."""
    return job.content_name or (job.item_key or "").rpartition("/")[2] or None


def serialize_dry_run(
    request: JobRequest, params: StyleParams, init_id: str | None, estimate: Estimate | None
) -> jobs.DryRunView:
    """Serialize a job that was validated but not queued."""
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


def serialize_result(job: ShownJob) -> jobs.ResultView | None:
    """Serialize the result of a job, if it has one."""
    if not job.result:
        return None
    further = {"expired": job.files_gone_at is not None, "strength": strength_of(job.result)}
    return jobs.ResultView.model_validate({**job.result, **further})


def serialize_error(job: ShownJob) -> jobs.ErrorView | None:
    """Serialize the error of a job, if it failed."""
    if job.error_code is None:
        return None
    return jobs.ErrorView(code=job.error_code, message=job.error_message or "", retryable=bool(job.error_retryable))


def _progress(step: Step | None) -> jobs.ProgressView | None:
    return jobs.ProgressView(**step, fraction=step["step"] / step["total"]) if step else None


def _links(job: ShownJob) -> dict[str, str]:
    path = f"/v1/jobs/{job.id}"
    links = {"self": path, "events": f"{path}/events"}
    if job.files_gone_at is None:
        links |= {name: f"{path}/{name}" for name in ("preview", "losses")}
    if job.result and job.files_gone_at is None:
        film = ("timelapse",) if "timelapse_key" in job.result else ()
        links |= {name: f"{path}/{name}" for name in ("result", "strength", "manifest", *film)}
    if job.state in TERMINAL:
        links |= {"retry": f"{path}/retry", "delete": path}
    else:
        links["cancel"] = f"{path}/cancel"
    return links


def _eta(forecast: Forecast | None) -> jobs.EtaView | None:
    if forecast is None:
        return None
    ends_at = clock.now() + timedelta(seconds=min(forecast.p50_s, _MAX_ETA_S))
    return jobs.EtaView(p50_s=round(forecast.p50_s, 1), p90_s=round(forecast.p90_s, 1), ends_at=str(rfc3339(ends_at)))
