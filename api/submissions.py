"""From a request to a queued job: read it, find its start, check it, keep its pictures, queue it.

Invariant: a job that is refused, and a dry run, leave no trace.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pydantic import ValidationError

from api import checks, estimates
from api.access import Caller
from api.checks import Sizes, Submission
from api.problems import invalid
from api.schemas import JobRequest
from api.services import Services
from api.usecases import upload
from shared import ids, logs
from shared.costs import Estimate
from shared.db import images, jobs, queries
from shared.db.models import Job
from shared.errors import NotFound
from shared.groups import group_key
from shared.params import StyleParams, resolve
from shared.states import State

log = logs.get(__name__)


def parse(services: Services, body: Mapping[str, object]) -> tuple[JobRequest, StyleParams]:
    """Check a request's form and fill up its parameters; raise `InvalidParams`."""
    try:
        request = JobRequest.model_validate(body)
    except ValidationError as error:
        raise invalid(error) from None
    _check_limit(request, services.settings.time_limit_s)
    try:
        return request, resolve(request.preset, request.params)
    except ValidationError as error:
        raise invalid(error, at="/params") from None


def submit(services: Services, submission: Submission) -> Job:
    """Check a job, keep the pictures that came with it and queue it: nothing → queued. Raises as `examine`."""
    submission, sizes, _ = examine(services, submission)
    for file in submission.files.values():
        upload(services, file, submission.caller)
    job = _job(services, submission, sizes)
    with services.database.writing("submit") as session:
        images.use(session, images_of(job))
        jobs.create(session, job)
    log.info("job_queued", job_id=job.id, preset=job.preset)
    services.dispatcher.nudge()
    return job


def examine(services: Services, submission: Submission) -> tuple[Submission, Sizes, Estimate | None]:
    """Check a job whole, its start found; predict what it takes, or None while no worker has told what it can do.

    Raises `UnknownImage`, `InvalidMask`, `TooLarge`, or `InvalidParams` for sizes at which nothing can be painted.
    """
    if submission.request.init_job is not None:
        submission = _with_result_of(services, submission, submission.request.init_job)
    sizes = checks.check(services, submission)
    return submission, sizes, estimates.estimate(services, submission.params, sizes)


def _check_limit(request: JobRequest, most_s: float) -> None:
    if request.time_limit_s is not None and request.time_limit_s > most_s:
        raise checks.mistake("/time_limit_s", f"No job runs here for more than {most_s:g} s.", le=most_s, unit="s")


def _with_result_of(services: Services, submission: Submission, job_id: str) -> Submission:
    """Take another job's picture along like an upload, so that it outlives that job."""
    data = _result_of(services, job_id, submission.caller)
    image_id = ids.image_id(data)
    files = {**submission.files, image_id: checks.inspect(services, data)}
    return replace(submission, files=files, init_id=image_id)


def _result_of(services: Services, job_id: str, caller: Caller) -> bytes:
    try:
        with services.database.reading() as session:
            job = queries.job(session, job_id, owner=caller.sees)
    except NotFound as error:
        raise checks.mistake("/init_job", error.detail) from None
    if job.state != State.SUCCEEDED or not job.result:
        raise checks.mistake("/init_job", f"The job is {job.state}; only one that has succeeded can be a start.")
    try:
        return services.store.get(job.result["key"])
    except NotFound:  # swept since its row was read, or lost
        raise checks.mistake("/init_job", "The job's picture is gone.") from None


def _job(services: Services, submission: Submission, sizes: Sizes) -> Job:
    request, params = submission.request, submission.params
    styles = [style.model_dump(exclude_none=True) for style in request.style_choices()]
    weights = request.weights_wanted()
    return Job(
        id=ids.new_id(),
        owner=submission.caller.owner,
        preset=request.preset.value,
        params=params.model_dump(mode="json"),
        weights_wanted=weights,
        content_id=request.content,
        styles=styles,
        init_id=submission.init_id,
        group_key=group_key(params, styles, sizes.content, weights, submission.init_id),
        priority=request.priority,
        retention_s=services.settings.retention_s,
        start_by=request.start_by,
        time_limit_s=request.time_limit_s,
        label=request.label,
        annotations=request.metadata,
    )


def images_of(job: Job) -> set[str]:
    """Return the ids of all pictures that painting a job needs."""
    styles = {style[part] for style in job.styles for part in ("image", "mask") if style.get(part)}
    return {job.content_id, *styles, *([job.init_id] if job.init_id else [])}
