"""Jobs: submit, list, show, cancel."""

from __future__ import annotations

from flask import Blueprint, Response, request, url_for

from api import pagination, submissions, uploads, usecases
from api.access import Access
from api.auth import caller
from api.openapi import BINARY, operation
from api.schemas import DryRunView, JobPage, JobRequest, JobView
from api.services import services
from api.views import current_job, dry_run_view, job_view, retry_after_s
from shared import errors
from shared.db import queries
from shared.db.queries import Filter
from shared.states import TERMINAL, State

blueprint = Blueprint("jobs", __name__, url_prefix="/v1/jobs")

_MULTIPART = {
    "type": "object",
    "properties": {
        "content": BINARY,
        "style": {"type": "array", "items": BINARY},
        "mask": {"type": "array", "items": BINARY, "description": "Each for the style of its place."},
        "init_image": BINARY,
        "image": {"type": "array", "items": BINARY, "description": "Pictures that `request` names by their ids."},
        "request": {"$ref": "#/components/schemas/JobRequest"},
    },
}


@blueprint.post("")
@operation(
    "Submit a job",
    access=Access.WRITE,
    status=202,
    returns=JobView,
    others={200: ("A dry run: the job as it would be queued, and what it would take.", DryRunView)},
    query={"dry_run": "`true` checks everything and keeps nothing."},
    takes={"application/json": JobRequest, uploads.MULTIPART: _MULTIPART},
    errors=(
        errors.InvalidRequest,
        errors.UnsupportedMediaType,
        errors.UnsupportedImage,
        errors.CorruptImage,
        errors.ImageTooLarge,
        errors.InvalidParams,
        errors.InvalidMask,
        errors.TooLarge,
        errors.UnknownImage,
        errors.StorageFull,
        errors.DatabaseUnavailable,
    ),
)
def submit() -> tuple[Response, int]:
    """Queue a job, or say what it would take."""
    dry_run = _flag("dry_run")
    submission = uploads.submission(request, services(), caller())
    if dry_run:
        submission, _, estimate = submissions.examine(services(), submission)
        view = dry_run_view(submission, estimate)
        return Response(view.model_dump_json(), content_type="application/json"), 200
    job = submissions.submit(services(), submission)
    return _shown(job_view(job)), 202


@blueprint.get("")
@operation(
    "List jobs, newest first",
    access=Access.READ,
    returns=JobPage,
    query={
        "state": "Only those in this state; may be repeated.",
        "label": "Only those with this label.",
        "owner": "Only those of this owner; a client sees its own in any case.",
        "cursor": "Where the page before ended.",
        "limit": f"Rows of a page, 1 to {pagination.MAX_LIMIT}.",
    },
    errors=(errors.InvalidParams,),
)
def listing() -> Response:
    """List jobs."""
    limit = pagination.limit(request.args.get("limit"))
    before = pagination.decode(request.args.get("cursor"))
    with services().database.reading() as session:
        found = queries.jobs(session, _filter(), before=before, limit=limit + 1)
    page = found[:limit]
    cursor = pagination.encode(page[-1].place) if len(found) > limit else None
    body = JobPage(jobs=[job_view(job) for job in page], next_cursor=cursor)
    response = Response(body.model_dump_json(), content_type="application/json")
    if cursor:
        arguments = {**request.args.to_dict(flat=False), "cursor": [cursor]}
        response.headers["Link"] = f'<{url_for("jobs.listing", **arguments)}>; rel="next"'  # type: ignore[arg-type]
    return response


@blueprint.get("/<job_id>")
@operation("Show a job with its live progress", access=Access.READ, returns=JobView, errors=(errors.NotFound,))
def show(job_id: str) -> Response:
    """Show a job."""
    return _shown(current_job(services(), job_id, caller()))


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
    usecases.cancel(services(), job_id, caller())
    return _shown(current_job(services(), job_id, caller())), 202


def _shown(view: JobView) -> Response:
    response = Response(view.model_dump_json(), content_type="application/json")
    response.headers["Location"] = view.links["self"]
    if view.state not in TERMINAL:
        response.headers["Retry-After"] = str(retry_after_s(view))
    return response


def _filter() -> Filter:
    seen = caller().sees
    return Filter(_states(), owner=seen or request.args.get("owner"), label=request.args.get("label"))


def _states() -> list[State]:
    wanted = request.args.getlist("state")
    try:
        return [State(name) for name in wanted]
    except ValueError:
        mistake = {"pointer": "state", "detail": f"one of {', '.join(State)}"}
        raise errors.InvalidParams(f"state is one of {', '.join(State)}.", errors=[mistake]) from None


def _flag(name: str) -> bool:
    value = request.args.get(name, "false")
    if value not in ("true", "false"):
        mistake = {"pointer": name, "detail": "one of true, false"}
        raise errors.InvalidParams(f"{name} is true or false.", errors=[mistake])
    return value == "true"
