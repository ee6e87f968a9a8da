"""From a request to a queued job: read it, find its start, check it, keep its pictures, queue it.

Invariant: a job that is refused, and a dry run, leave no trace.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta

from pydantic import ValidationError
from sqlalchemy.orm import Session

from api.access import Caller
from api.http import problems
from api.http.problems import invalid, validated
from api.jobs import checks, estimates
from api.jobs.submission import Sizes, Submission
from api.schemas.jobs import JobRequest
from api.services import Services
from api.usecases.images import inspect_upload, upload
from api.usecases.webhooks import check_webhook
from shared import clock, ids, logs
from shared.db import images
from shared.db.access import quotas
from shared.db.admin import audit
from shared.db.jobs import queries, successors, transitions
from shared.db.models import Job
from shared.errors import IdTaken, NotFound
from shared.painting import sizes as sizes_of_scales
from shared.painting.costs import Estimate
from shared.painting.keys import group_key, way_key, work_key
from shared.painting.params import StyleParams, resolve
from shared.states import State

log = logs.get(__name__)

#: Promises that lie farther away are noted as this far, in seconds: a year.
_FARTHEST_S = 365 * 86_400.0


#: Called in the transaction that queues a job, to note something beside it.
Note = Callable[[Session, Job], None]


def _note_nothing(session: Session, job: Job) -> None:
    """Leave the job alone."""


def read(services: Services, caller: Caller, body: Mapping[str, object], files: Mapping[str, bytes]) -> Submission:
    """Check a request's form and that its pictures are whole; raise `InvalidParams` or what is wrong with a picture."""
    job, params = _parsed(services, caller, body)
    inspected = {image_id: inspect_upload(services, data) for image_id, data in files.items()}
    return Submission(caller, job, params, inspected, init_id=job.init_image)


def submit(
    services: Services,
    submission: Submission,
    *,
    job_id: str | None = None,
    fingerprint: str | None = None,
    note: Note = _note_nothing,
) -> Job:
    """Check a job, keep the pictures that came with it and queue it: nothing → queued. Raises as `examine`.

    A `job_id` of the client's own choosing comes with the request's `fingerprint`; `IdTaken` if something has it.
    """
    submission, sizes, estimate = examine(services, submission)
    for file in submission.files.values():
        upload(services, file, submission.caller)
    job = _job(services, submission, sizes)
    job.predicted_s = estimate.seconds if estimate else None
    if job_id is not None:
        job.id, job.sort_id, job.fingerprint = job_id, job.id, fingerprint
    work = sizes_of_scales.work(submission.params, sizes.content, sizes.styles)
    return _queued(services, submission.caller, job, work, note)


def again(services: Services, caller: Caller, job_id: str, *, note: Note = _note_nothing) -> Job:
    """Queue another job like one that has ended: nothing → queued.

    Raises `NotFound`, `IllegalTransition` if it has not ended, and `UnknownImage` if a picture of it is gone.
    """
    with services.database.reading() as session:
        job = successors.successor(queries.get_job(session, job_id, owner=caller.sees))
        work = successors.work_of(job, queries.get_images(session, successors.pictures_of(job)))

    def note_both(session: Session, made: Job) -> None:
        audit.record(session, caller, "job.retry", job_id, details={"job_id": made.id})
        note(session, made)

    return _queued(services, caller, job, work, note_both)


def is_same(services: Services, caller: Caller, job_id: str, fingerprint: str) -> bool:
    """Say whether the caller has asked for the job of that id in just this way; raise `IdTaken` if it is another."""
    with services.database.reading() as session:
        found = session.get(Job, job_id)
    if found is None:
        return False
    if found.owner != caller.owner or found.fingerprint != fingerprint:
        raise IdTaken(f"There is something of the id {job_id} already, and it is not what was asked for.")
    return True


def examine(services: Services, submission: Submission) -> tuple[Submission, Sizes, Estimate | None]:
    """Check a job whole, its start found; predict what it takes, or None while no worker has told what it can do.

    Raises `UnknownImage`, `InvalidMask`, `TooLarge`, or `InvalidParams` for sizes at which nothing can be painted.
    """
    if submission.request.webhook is not None:
        check_webhook(services, submission.request.webhook)
    if submission.request.init_job is not None:
        submission = _with_result_of(services, submission, submission.request.init_job)
    sizes = checks.check(services, submission)
    return submission, sizes, estimates.estimate(services.database, submission.params, sizes)


def _queued(services: Services, caller: Caller, job: Job, work: int, note: Note) -> Job:
    with services.database.writing("submit") as session:
        images.use(session, successors.pictures_of(job))
        quotas.charge(session, caller.quota, work=work)
        _promise(services, session, job)
        transitions.create(session, job)
        note(session, job)
    log.info("job_queued", job_id=job.id, preset=job.preset)
    services.dispatcher.nudge()
    return job


def _promise(services: Services, session: Session, job: Job) -> None:
    """Note when the job is expected to end, so that what came of it can be told."""
    ends = services.forecaster.outlook(session, job).ends
    if ends is not None:
        now = clock.now()
        job.eta_p50_at = now + timedelta(seconds=min(ends.p50_s, _FARTHEST_S))
        job.eta_p90_at = now + timedelta(seconds=min(ends.p90_s, _FARTHEST_S))


def _parsed(services: Services, caller: Caller, body: Mapping[str, object]) -> tuple[JobRequest, StyleParams]:
    request = validated(JobRequest, body)
    check_limits(services, caller, request.time_limit_s, request.retention_s)
    try:
        return request, resolve(request.preset, request.params)
    except ValidationError as error:
        raise invalid(error, at="/params") from None


def check_limits(services: Services, caller: Caller, time_limit_s: float | None, retention_s: float | None) -> None:
    """Raise `InvalidParams` for a time that is longer than may be asked for."""
    most_s = services.settings.time_limit_s
    if time_limit_s is not None and time_limit_s > most_s:
        raise problems.mistake("/time_limit_s", f"No job runs here for more than {most_s:g} s.", le=most_s, unit="s")
    most_s = most_retention_s(services, caller)
    if retention_s is not None and retention_s > most_s:
        raise problems.mistake("/retention_s", f"Files are kept here for {most_s:g} s at most.", le=most_s, unit="s")


def most_retention_s(services: Services, caller: Caller) -> float:
    """Return how long an ended job's files may stay at most, in seconds."""
    return min(services.settings.retention_s, caller.max_retention_s or services.settings.retention_s)


def _with_result_of(services: Services, submission: Submission, job_id: str) -> Submission:
    """Take another job's picture along like an upload, so that it outlives that job."""
    data = _result_of(services, job_id, submission.caller)
    image_id = ids.image_id(data)
    files = {**submission.files, image_id: inspect_upload(services, data)}
    return replace(submission, files=files, init_id=image_id)


def _result_of(services: Services, job_id: str, caller: Caller) -> bytes:
    try:
        with services.database.reading() as session:
            job = queries.get_job(session, job_id, owner=caller.sees)
    except NotFound as error:
        raise problems.mistake("/init_job", error.detail) from None
    if job.state != State.SUCCEEDED or not job.result:
        raise problems.mistake("/init_job", f"The job is {job.state}; only one that has succeeded can be a start.")
    gone = problems.mistake("/init_job", "The job's picture is gone.")
    if job.files_gone_at is not None:
        raise gone
    try:
        return services.store.get(job.result["key"])
    except NotFound:  # deleted since its row was read, or lost
        raise gone from None


def _job(services: Services, submission: Submission, sizes: Sizes) -> Job:
    request, params = submission.request, submission.params
    styles = [style.model_dump(exclude_none=True) for style in request.style_choices()]
    weights, painted = request.weights_wanted(), params.model_dump(mode="json")
    return Job(
        id=ids.new_id(),
        owner=submission.caller.owner,
        preset=request.preset.value,
        params=painted,
        weights_wanted=weights,
        content_id=request.content,
        styles=styles,
        init_id=submission.init_id,
        group_key=group_key(params, styles, sizes.content, weights, submission.init_id),
        work_key=work_key(way_key(painted, styles, submission.init_id, weights), request.content),
        reuse=request.reuse,
        priority=request.priority,
        retention_s=request.retention_s or most_retention_s(services, submission.caller),
        webhook=request.webhook,
        start_by=request.start_by,
        time_limit_s=request.time_limit_s,
        label=request.label,
        annotations=request.metadata,
    )
