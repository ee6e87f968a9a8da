"""Jobs: submit, list, show, cancel, retry, delete."""

from __future__ import annotations

from functools import partial
from operator import attrgetter

from flask import Blueprint, Response, request
from pydantic import BaseModel, Field

from api.access import Access
from api.auth import caller
from api.http import bodies, idempotency
from api.http.idempotency import Answer, Once
from api.http.pagination import PageQuery, page
from api.http.query import Flag, WaitQuery, parsed_query, preferred_wait_s
from api.http.responses import accepted_response, job_response, model_response, page_response
from api.jobs.current import await_change, await_end
from api.jobs.submit import PreparedJob
from api.live.snapshot import JobSnapshot
from api.openapi.operation import operation
from api.openapi.parameters import BINARY
from api.schemas.jobs import DryRunView, JobPage, JobRequest, JobView, Moment
from api.serializers.jobs import serialize_dry_run, serialize_job
from api.services import services
from api.usecases import jobs
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
        "mask": {"type": "array", "items": BINARY, "description": "Each for the style of its place."},
        "init_image": BINARY,
        "image": {"type": "array", "items": BINARY, "description": "Pictures that `request` names by their ids."},
        "request": {"$ref": "#/components/schemas/JobRequestPart"},
    },
}
_TAKES = {"application/json": JobRequest, bodies.MULTIPART: _MULTIPART}
_REFUSALS = (
    errors.InvalidRequest,
    errors.UnsupportedMediaType,
    errors.UnsupportedImage,
    errors.CorruptImage,
    errors.ImageTooLarge,
    errors.BodyTooLarge,
    errors.InvalidParams,
    errors.InvalidMask,
    errors.TooLarge,
    errors.UnknownImage,
    errors.ForbiddenUrl,
    errors.QuotaExceeded,
    errors.StorageFull,
)


class SubmitQuery(BaseModel):
    """How to submit a job."""

    dry_run: Flag = Field(False, description="`true` checks everything and keeps nothing.")


class JobsQuery(PageQuery):
    """Which jobs to list."""

    state: list[State] = Field(default_factory=list, description="Only those in these states.")
    label: str | None = Field(None, description="Only those with this label.")
    owner: str | None = Field(None, description="Only those of this owner; a client sees its own in any case.")
    code: str | None = Field(None, description="Only those that failed by the error of this code.")
    batch: str | None = Field(None, description="Only the items of this batch.")
    created_after: Moment | None = Field(None, description="Only those made after this RFC 3339 time.")
    created_before: Moment | None = Field(None, description="Only those made before this RFC 3339 time.")

    def filter(self, owner: str | None) -> Filter:
        """Return what to list, to a caller that sees this owner's jobs alone unless it is None."""
        times = {"created_after": self.created_after, "created_before": self.created_before}
        return Filter(self.state, owner or self.owner, self.label, **times, code=self.code, batch_id=self.batch)


@blueprint.post("")
@operation(
    "Submit a job",
    access=Access.WRITE,
    status=202,
    returns=JobView,
    others={200: ("A dry run: the job as it would be queued, and what it would take.", DryRunView)},
    query=SubmitQuery,
    takes=_TAKES,
    headers=("Idempotency-Key", "Prefer"),
    errors=(*_REFUSALS, errors.IdempotencyConflict),
)
def submit() -> Response:
    """Queue a job, or say what it would take."""
    query, form, submitter = parsed_query(SubmitQuery), bodies.job_form(request), services().submitter
    once = idempotency.once(request, caller(), form.body)
    if query.dry_run:
        job, _, estimate = submitter.validate(submitter.read(caller(), form))
        return model_response(serialize_dry_run(job.request, job.params, job.init_id, estimate))
    if once.find(services().database) is None:
        _queue(once, submitter.prepare(submitter.read(caller(), form)))
    return _accepted(once)


@blueprint.put("/<job_id>")
@operation(
    "Submit a job under an id of your own choosing; the same again is the same job",
    access=Access.WRITE,
    status=202,
    returns=JobView,
    others={200: ("The same was asked for before: the job as it is now.", JobView)},
    takes=_TAKES,
    errors=(*_REFUSALS, errors.IdTaken),
)
def put(job_id: str) -> Response:
    """Queue a job of that id, unless it is there."""
    if not is_uuid(job_id):
        mistake = {"pointer": "job_id", "detail": "a UUID in its canonical form"}
        raise errors.InvalidParams("The id of a job must be a UUID in lower case.", errors=[mistake])
    form, submitter = bodies.job_form(request), services().submitter
    fingerprint = idempotency.fingerprint(request, form.body)
    if submitter.was_submitted(caller(), job_id, fingerprint):
        return _current(job_id)
    prepared = submitter.prepare(submitter.read(caller(), form), job_id=job_id, fingerprint=fingerprint)
    try:
        return job_response(JobSnapshot(submitter.submit(prepared)), 202)
    except errors.IdTaken:
        if not submitter.was_submitted(caller(), job_id, fingerprint):
            raise
        return _current(job_id)


@blueprint.post("/<job_id>/retry")
@operation(
    "Submit a job that has ended again, as another job",
    access=Access.WRITE,
    status=202,
    returns=JobView,
    headers=("Idempotency-Key", "Prefer"),
    errors=(
        errors.NotFound,
        errors.InvalidRequest,
        errors.IllegalTransition,
        errors.UnknownImage,
        errors.QuotaExceeded,
        errors.IdempotencyConflict,
    ),
)
def retry(job_id: str) -> Response:
    """Queue a job like one that has ended."""
    once = idempotency.once(request, caller(), None)
    if once.find(services().database) is None:
        _queue(once, services().submitter.retry(caller(), job_id))
    return _accepted(once)


@blueprint.delete("/<job_id>")
@operation(
    "Delete a job that has ended, and its files",
    access=Access.WRITE,
    status=204,
    returns={},
    errors=(errors.NotFound, errors.IllegalTransition),
)
def delete(job_id: str) -> Response:
    """Delete a job."""
    jobs.delete(services().database, services().store, job_id, caller())
    return Response(status=204)


@blueprint.get("")
@operation(
    "List jobs, newest first",
    access=Access.READ,
    returns=JobPage,
    query=JobsQuery,
    errors=(errors.InvalidParams,),
)
def listing() -> Response:
    """List jobs."""
    query = parsed_query(JobsQuery)
    wanted = query.filter(caller().sees)
    with services().database.reading() as session:
        older = partial(queries.list_jobs, session, wanted, before=query.cursor)
        found = page(older, query.limit, position=attrgetter("sort_id"))
    return page_response(JobPage(jobs=[serialize_job(job) for job in found.rows], next_cursor=found.next_cursor))


@blueprint.get("/<job_id>")
@operation(
    "Show a job with its live progress",
    access=Access.READ,
    returns=JobView,
    query=WaitQuery,
    headers=("If-None-Match", "Prefer"),
    errors=(errors.NotFound, errors.InvalidParams),
)
def show(job_id: str) -> Response:
    """Show a job, now or once its state has changed."""
    wait_s = parsed_query(WaitQuery).wait_s()
    if wait_s:
        await_change(services().database, services().hub, job_id, caller(), wait_s)
    return _current(job_id)


@blueprint.post("/<job_id>/cancel")
@operation(
    "Cancel a queued job at once, a running one at its next steps; what was painted is kept",
    access=Access.WRITE,
    status=202,
    returns=JobView,
    errors=(errors.NotFound, errors.IllegalTransition),
)
def cancel(job_id: str) -> Response:
    """Cancel a job."""
    jobs.cancel(services().database, services().progress, job_id, caller())
    return _current(job_id, 202)


def _queue(once: Once, prepared: PreparedJob) -> None:
    """Queue a job, and store the answer along with it."""
    with once.writing(services().database, "submit") as session:
        view = serialize_job(services().submitter.queue(session, prepared))
        once.answer = Answer(202, view.links["self"], view.model_dump_json())


def _accepted(once: Once) -> Response:
    """Respond with the job as it was queued, or as it is after the wait that the client prefers."""
    wait_s = preferred_wait_s()
    if not wait_s:
        return accepted_response(once)
    job_id = once.created_id()
    await_end(services().database, services().hub, job_id, wait_s)
    response = _current(job_id, 202)
    response.headers["Preference-Applied"] = f"wait={wait_s:g}"
    return response


def _current(job_id: str, status: int = 200) -> Response:
    return job_response(services().current_jobs.get(job_id, caller()), status)
