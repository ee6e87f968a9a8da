"""Jobs: submit, list, show, cancel, try again, delete."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response, request
from sqlalchemy.orm import Session

from api.access import Access
from api.auth import caller
from api.http import bodies, idempotency, pagination
from api.http.idempotency import Answer, Once
from api.http.query import MAX_WAIT_S, flag, moment, preferred_wait_s, wait_s, wanted_states
from api.http.responses import accepted, json_answer, paged
from api.jobs import submit as submissions
from api.jobs.current import await_change, await_end, current_job, shown
from api.jobs.submission import dry_run_view
from api.jobs.submit import Note
from api.live.snapshot import Sight
from api.openapi.operation import operation
from api.openapi.parameters import BINARY, PAGING, given
from api.schemas.jobs import DryRunView, JobPage, JobRequest, JobView
from api.serializers.jobs import serialize_job
from api.services import services
from api.usecases import jobs
from shared import errors
from shared.db.jobs import queries
from shared.db.jobs.queries import Filter
from shared.db.models import Job
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


_WAIT = "Seconds to wait for the next change of its state; a job that has ended is shown at once."
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


@blueprint.post("")
@operation(
    "Submit a job",
    access=Access.WRITE,
    status=202,
    returns=JobView,
    others={200: ("A dry run: the job as it would be queued, and what it would take.", DryRunView)},
    query={"dry_run": given("`true` checks everything and keeps nothing.", type="boolean", default=False)},
    takes=_TAKES,
    headers=("Idempotency-Key", "Prefer"),
    errors=(*_REFUSALS, errors.IdempotencyConflict),
)
def submit() -> Response:
    """Queue a job, or say what it would take."""
    dry_run = flag("dry_run")
    asked = bodies.job(request)
    once = idempotency.named(request, caller(), asked.body)
    if dry_run:
        submission, _, estimate = submissions.examine(
            services(), submissions.read(services(), caller(), asked.body, asked.files)
        )
        return json_answer(dry_run_view(submission, estimate))

    def act(note: Note) -> Job:
        submission = submissions.read(services(), caller(), asked.body, asked.files)
        return submissions.submit(services(), submission, note=note)

    return _accepted(once, act)


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
def put(job_id: str) -> tuple[Response, int]:
    """Queue a job of that id, unless it is there."""
    if not is_uuid(job_id):
        mistake = {"pointer": "job_id", "detail": "a UUID in its canonical form"}
        raise errors.InvalidParams("The id of a job is a UUID in lower case.", errors=[mistake])
    asked = bodies.job(request)
    fingerprint = idempotency.fingerprint(request, asked.body)
    if submissions.is_same(services(), caller(), job_id, fingerprint):
        return _current(job_id), 200
    submission = submissions.read(services(), caller(), asked.body, asked.files)
    try:
        job = submissions.submit(services(), submission, job_id=job_id, fingerprint=fingerprint)
    except errors.IdTaken:
        if not submissions.is_same(services(), caller(), job_id, fingerprint):
            raise
        return _current(job_id), 200
    return shown(Sight(job)), 202


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
    once = idempotency.named(request, caller(), None)
    return _accepted(once, lambda note: submissions.again(services(), caller(), job_id, note=note))


@blueprint.delete("/<job_id>")
@operation(
    "Forget a job that has ended, and its files",
    access=Access.WRITE,
    status=204,
    returns={},
    errors=(errors.NotFound, errors.IllegalTransition),
)
def delete(job_id: str) -> Response:
    """Delete a job."""
    jobs.delete(services(), job_id, caller())
    return Response(status=204)


@blueprint.get("")
@operation(
    "List jobs, newest first",
    access=Access.READ,
    returns=JobPage,
    query={
        "state": given("Only those in these states.", repeatable=True, type="string", enum=list(State)),
        "label": given("Only those with this label.", type="string"),
        "owner": given("Only those of this owner; a client sees its own in any case.", type="string"),
        "code": given("Only those that failed by the error of this code.", type="string"),
        "batch": given("Only the items of this batch.", type="string"),
        "created_after": given("Only those made after this RFC 3339 time.", type="string", format="date-time"),
        "created_before": given("Only those made before this RFC 3339 time.", type="string", format="date-time"),
        **PAGING,
    },
    errors=(errors.InvalidParams,),
)
def listing() -> Response:
    """List jobs."""
    limit = pagination.limit(request.args.get("limit"))
    before = pagination.decode(request.args.get("cursor"))
    with services().database.reading() as session:
        found = queries.list_jobs(session, _filter(), before=before, limit=limit + 1)
    page = found[:limit]
    cursor = pagination.encode(page[-1].sort_id) if len(found) > limit else None
    return paged(JobPage(jobs=[serialize_job(job) for job in page], next_cursor=cursor), cursor)


@blueprint.get("/<job_id>")
@operation(
    "Show a job with its live progress",
    access=Access.READ,
    returns=JobView,
    query={"wait": given(_WAIT, type="number", minimum=0, maximum=MAX_WAIT_S, default=0)},
    headers=("If-None-Match", "Prefer"),
    errors=(errors.NotFound, errors.InvalidParams),
)
def show(job_id: str) -> Response:
    """Show a job, now or once its state is another."""
    seconds = wait_s()
    if seconds:
        await_change(services(), job_id, caller(), seconds)
    return _current(job_id)


@blueprint.post("/<job_id>/cancel")
@operation(
    "Cancel a queued job at once, a running one at its next steps; what was painted is kept",
    access=Access.WRITE,
    status=202,
    returns=JobView,
    errors=(errors.NotFound, errors.IllegalTransition),
)
def cancel(job_id: str) -> tuple[Response, int]:
    """Cancel a job."""
    jobs.cancel(services(), job_id, caller())
    return shown(current_job(services(), job_id, caller())), 202


def _current(job_id: str) -> Response:
    return shown(current_job(services(), job_id, caller()))


def _accepted(once: Once | None, act: Callable[[Note], Job]) -> Response:
    """Queue a job by `act`, or answer as before if that was done, and wait for its end if that is preferred."""

    def queue() -> Answer:
        queued: list[Answer] = []

        def note(session: Session, job: Job) -> None:
            view = serialize_job(job)
            queued.append(Answer(202, view.links["self"], view.model_dump_json()))
            if once:
                once.keep(session, queued[-1])

        act(note)
        return queued[-1]

    answer, replayed = idempotency.carry_out(services(), once, queue)
    seconds = preferred_wait_s()
    if not seconds:
        return accepted(answer, replayed=replayed)
    job_id = answer.location.rpartition("/")[2]
    await_end(services(), job_id, seconds)
    response = shown(current_job(services(), job_id, caller()), 202)
    response.headers["Preference-Applied"] = f"wait={seconds:g}"
    return response


def _filter() -> Filter:
    seen = caller().sees
    return Filter(
        wanted_states(),
        owner=seen or request.args.get("owner"),
        label=request.args.get("label"),
        created_after=moment("created_after"),
        created_before=moment("created_before"),
        code=request.args.get("code"),
        batch_id=request.args.get("batch"),
    )
