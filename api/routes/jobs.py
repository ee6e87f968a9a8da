"""Jobs: submit, list, show, cancel, retry, delete, and how strongly their paintings show."""

from functools import partial
from operator import attrgetter

from flask import Blueprint, Response, request
from pydantic import BaseModel, Field

from api.access import Access
from api.auth import caller
from api.http import bodies, idempotency
from api.http.idempotency import Once
from api.http.pagination import PageQuery, page
from api.http.problems import validated
from api.http.query import MAX_WAIT_S, Flag, parsed_query, preferred_wait_s
from api.http.responses import accepted_response, job_response, model_response, page_response
from api.jobs.current import await_change, await_end
from api.jobs.submit import PreparedJob
from api.live.snapshot import JobSnapshot
from api.openapi.operation import operation
from api.openapi.parameters import BINARY
from api.schemas.jobs import DryRunView, JobPage, JobRequest, JobView, Timestamp
from api.schemas.outputs import StrengthRequest
from api.schemas.retries import RetryRequest
from api.serializers.jobs import serialize_dry_run, serialize_job
from api.services import services
from api.usecases import jobs, results
from shared import errors
from shared.db.jobs import queries
from shared.db.jobs.queries import Filter
from shared.ids import is_uuid
from shared.states import State

blueprint = Blueprint("jobs", __name__, url_prefix="/v1/jobs")

_MULTIPART = {
    "type": "object",
    "properties": {
        "content": BINARY,
        "style": {"type": "array", "items": BINARY},
        "mask": {"type": "array", "items": BINARY, "description": "The n-th is for the n-th style."},
        "init_image": BINARY,
        "image": {"type": "array", "items": BINARY, "description": "Pictures that `request` refers to by id."},
        "request": {"$ref": "#/components/schemas/JobRequestPart"},
    },
}
_TAKES = {"application/json": JobRequest, bodies.MULTIPART: _MULTIPART}
_REFUSALS = (
    errors.UnsupportedImage, errors.CorruptImage, errors.BlankImage, errors.ImageTooLarge, errors.DecoderUnavailable,
    errors.InvalidParams, errors.InvalidMask, errors.TooLarge, errors.UnknownImage, errors.ForbiddenUrl,
    errors.QuotaExceeded, errors.StorageFull,
)  # fmt: skip


class SubmitQuery(BaseModel):
    """How to submit a job."""

    dry_run: Flag = Field(False, description="`true` checks everything and stores nothing.")


class WaitQuery(BaseModel):
    """How long to wait for a job to change."""

    wait: float = Field(
        0,
        ge=0,
        le=MAX_WAIT_S,
        allow_inf_nan=False,
        description="Seconds to wait for its state to change; a job that has ended is shown at once.",
    )


class JobsQuery(PageQuery):
    """Which jobs to list."""

    state: list[State] = Field(default_factory=list, description="Only jobs in these states.")
    label: str | None = Field(None, description="Only jobs with this label.")
    owner: str | None = Field(None, description="Only jobs of this owner; a client sees only its own.")
    code: str | None = Field(None, description="Only jobs that failed with this error code.")
    batch: str | None = Field(None, description="Only items of this batch.")
    created_after: Timestamp | None = Field(None, description="Only jobs created after this RFC 3339 time.")
    created_before: Timestamp | None = Field(None, description="Only jobs created before this RFC 3339 time.")

    def filter(self, owner: str | None) -> Filter:
        """Return which jobs to list, for a caller that sees only this owner's unless it is None."""
        return Filter(
            states=self.state,
            owner=owner or self.owner,
            label=self.label,
            created_after=self.created_after,
            created_before=self.created_before,
            code=self.code,
            batch_id=self.batch,
        )


@blueprint.post("")
@operation(
    access=Access.WRITE,
    status=202,
    returns=JobView,
    others={200: ("A dry run: the job as it would be queued, and what it would take.", DryRunView)},
    query=SubmitQuery,
    takes=_TAKES,
    headers=("Idempotency-Key", "Prefer"),
    errors=_REFUSALS,
)
def submit() -> Response:
    """Submit a job."""
    query, form, submitter = parsed_query(SubmitQuery), _form(), services().submitter
    once = idempotency.once(request, caller(), form.body)
    if query.dry_run:
        job, _, estimate = submitter.validate(submitter.read(caller(), form))
        return model_response(serialize_dry_run(job.request, job.params, job.init_id, estimate))
    if once.find(services().database) is None:
        with submitter.prepared(submitter.read(caller(), form)) as prepared:
            _queue(once, prepared)
    return _accepted(once)


@blueprint.put("/<job_id>")
@operation(
    access=Access.WRITE,
    status=202,
    returns=JobView,
    others={200: ("It has been submitted before: the job as it is now.", JobView)},
    takes=_TAKES,
    errors=(*_REFUSALS, errors.IdTaken),
)
def put(job_id: str) -> Response:
    """Submit a job under an id that you choose; a repeated request returns the same job."""
    if not is_uuid(job_id):
        mistake = {"pointer": "job_id", "detail": "a UUID in its canonical form"}
        raise errors.InvalidParams("The id of a job must be a UUID in lower case.", errors=[mistake])
    form, submitter = _form(), services().submitter
    fingerprint = idempotency.fingerprint(request, form.body)
    if submitter.was_submitted(caller(), job_id, fingerprint):
        return _current(job_id)
    submission = submitter.read(caller(), form)
    try:
        with submitter.prepared(submission, job_id=job_id, fingerprint=fingerprint) as prepared:
            return job_response(JobSnapshot(submitter.submit(prepared)), 202)
    except errors.IdTaken:
        if submitter.was_submitted(caller(), job_id, fingerprint):
            return _current(job_id)
        submitter.charge(prepared)
        raise


@blueprint.post("/<job_id>/retry")
@operation(
    access=Access.WRITE,
    status=202,
    returns=JobView,
    takes={"application/json": RetryRequest},
    body_optional=True,
    headers=("Idempotency-Key", "Prefer"),
    errors=(
        errors.InvalidParams,
        errors.ForbiddenUrl,
        errors.IllegalTransition,
        errors.UnknownImage,
        errors.QuotaExceeded,
    ),
)
def retry(job_id: str) -> Response:
    """Retry a job that has ended, as another job; the body says what changes."""
    body = bodies.optional_json_object(request)
    changes = validated(RetryRequest, body)
    once = idempotency.once(request, caller(), body or None)
    if once.find(services().database) is None:
        _queue(once, services().submitter.retry(caller(), job_id, changes))
    return _accepted(once)


@blueprint.delete("/<job_id>")
@operation(access=Access.WRITE, status=204, returns={}, errors=(errors.IllegalTransition,))
def delete(job_id: str) -> Response:
    """Delete a job that has ended, and its files."""
    jobs.delete(services().database, services().store, job_id, caller())
    return Response(status=204)


@blueprint.get("")
@operation(access=Access.READ, returns=JobPage, query=JobsQuery)
def listing() -> Response:
    """List jobs, newest first."""
    query = parsed_query(JobsQuery)
    wanted = query.filter(caller().sees)
    with services().database.reading() as session:
        older = partial(queries.list_jobs, session, wanted, before=query.cursor)
        found = page(older, query.limit, position=attrgetter("sort_id"))
    return page_response(JobPage(jobs=[serialize_job(job) for job in found.rows], next_cursor=found.next_cursor))


@blueprint.get("/<job_id>")
@operation(access=Access.READ, returns=JobView, query=WaitQuery, headers=("If-None-Match", "Prefer"))
def show(job_id: str) -> Response:
    """Show a job with its live progress."""
    query = parsed_query(WaitQuery)
    wait_s = query.wait if "wait" in query.model_fields_set else preferred_wait_s()
    if wait_s:
        await_change(services().database, services().hub, job_id, caller(), wait_s)
    return _current(job_id)


@blueprint.put("/<job_id>/strength")
@operation(
    access=Access.WRITE,
    returns=JobView,
    takes={"application/json": StrengthRequest},
    errors=(errors.InvalidParams, errors.NotFinished, errors.NoResult, errors.ResultExpired),
)
def save_strength(job_id: str) -> Response:
    """Save how strongly the painting shows in an ended job's picture, wherever none other is asked for."""
    services().current_jobs.get(job_id, caller())  # 404 for an unknown job, whatever the body
    wanted = validated(StrengthRequest, bodies.json_object(request))
    results.set_strength(services().database, job_id, wanted.strength, caller())
    return _current(job_id)


@blueprint.post("/<job_id>/cancel")
@operation(access=Access.WRITE, status=202, returns=JobView, errors=(errors.IllegalTransition,))
def cancel(job_id: str) -> Response:
    """Cancel a queued job at once, or a running one at its next step; what it has painted is kept."""
    jobs.cancel(services().database, services().progress, job_id, caller())
    return _current(job_id, 202)


def _queue(once: Once, prepared: PreparedJob) -> None:
    """Queue a job, and store the answer along with it."""
    with once.writing(services().database, "submit") as session:
        once.set_response(serialize_job(services().submitter.queue(session, prepared)), 202)


def _accepted(once: Once) -> Response:
    """Respond with the job as it was queued, or as it is after the wait that the client prefers."""
    wait_s = preferred_wait_s()
    if not wait_s:
        return accepted_response(once)
    job_id = once.created_id()
    await_end(services().database, services().hub, job_id, caller(), wait_s)
    response = _current(job_id, 202)
    response.headers["Preference-Applied"] = f"wait={wait_s:g}"
    return response


def _current(job_id: str, status: int = 200) -> Response:
    return job_response(services().current_jobs.get(job_id, caller()), status)


def _form() -> bodies.JobForm:
    return bodies.job_form(request, services().settings.max_upload_bytes)
