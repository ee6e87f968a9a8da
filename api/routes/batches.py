"""Batches: open, fill, steer, change, list, show, try again, promote."""

from __future__ import annotations

from typing import IO

from flask import Blueprint, Response, request
from sqlalchemy.orm import Session

from api.access import Access
from api.auth import caller
from api.batches import archive_reader, lifecycle, matrix_sheet, readers
from api.batches.ingest import BatchIngest
from api.batches.report import serialize_report
from api.http import bodies, idempotency, pagination
from api.http.idempotency import Answer
from api.http.problems import validated
from api.http.responses import accepted, json_answer, paged, tagged
from api.jobs import submit
from api.jobs.current import shown
from api.live.snapshot import Sight
from api.openapi.operation import operation
from api.openapi.parameters import BINARY, PAGING, given
from api.routes.items import upload
from api.schemas.batches import (
    AddedView,
    BatchChange,
    BatchPage,
    BatchRequest,
    BatchView,
    OpenedView,
    PromoteRequest,
    RetriedView,
)
from api.schemas.jobs import JobView
from api.serializers.batches import serialize_batch, serialize_batches
from api.services import services
from shared import errors
from shared.db.batches import lifecycle as batches
from shared.db.batches.lifecycle import Filter
from shared.db.models import Batch
from shared.states import BatchState

blueprint = Blueprint("batches", __name__, url_prefix="/v1/batches")

_MULTIPART = {
    "type": "object",
    "properties": {
        "archive": BINARY,
        "style": {"type": "array", "items": BINARY},
        "request": {"$ref": "#/components/schemas/BatchRequestPart"},
    },
}
_STEERED = (errors.NotFound, errors.IllegalTransition)


@blueprint.post("")
@operation(
    "Open a batch",
    access=Access.WRITE,
    status=201,
    returns=OpenedView,
    takes={"application/json": BatchRequest, bodies.MULTIPART: _MULTIPART},
    headers=("Idempotency-Key",),
    errors=(
        errors.InvalidParams,
        errors.UnknownImage,
        errors.InvalidMask,
        errors.ForbiddenUrl,
        errors.QuotaExceeded,
        errors.TooLarge,
        errors.IdempotencyConflict,
    ),
)
def open_() -> Response:
    """Open a batch; one with a matrix or an archive is filled and started too."""
    request.max_content_length = services().settings.max_batch_bytes
    asked_for = bodies.batch(request)
    once = idempotency.named(request, caller(), asked_for.fingerprint())
    asked = validated(BatchRequest, asked_for.body)

    def act() -> Answer:
        answers: list[Answer] = []

        def note(session: Session, batch: Batch) -> None:
            view = serialize_batch(session, batch)
            answers.append(Answer(201, view.links["self"], view.model_dump_json()))
            if once:
                once.keep(session, answers[-1])

        for data in asked_for.styles:
            upload(data)
        lifecycle.open_batch(services(), caller(), asked, note)
        return answers[-1]

    answer, replayed = idempotency.carry_out(services(), once, act)
    batch_id = answer.location.rpartition("/")[2]
    added = _fill(batch_id, asked, asked_for.archive)  # again too: the first request may have died before
    view = OpenedView(**_view(batch_id).model_dump(), added=added)
    return accepted(Answer(answer.status, answer.location, view.model_dump_json()), replayed=replayed)


@blueprint.get("")
@operation(
    "List batches, newest first",
    access=Access.READ,
    returns=BatchPage,
    query={
        "state": given("Only those in this state.", type="string", enum=list(BatchState)),
        "label": given("Only those with this label.", type="string"),
        "owner": given("Only those of this owner; a client sees its own in any case.", type="string"),
        **PAGING,
    },
)
def listing() -> Response:
    """List batches."""
    limit = pagination.limit(request.args.get("limit"))
    before = pagination.decode(request.args.get("cursor"))
    wanted = Filter(caller().sees or request.args.get("owner"), _state(), request.args.get("label"))
    with services().database.reading() as session:
        found = batches.list_batches(session, wanted, before=before, limit=limit + 1)
        views = serialize_batches(session, found[:limit])
    cursor = pagination.encode(views[-1].id) if len(found) > limit else None
    return paged(BatchPage(batches=views, next_cursor=cursor), cursor)


@blueprint.get("/<batch_id>")
@operation("Show a batch", access=Access.READ, returns=BatchView, headers=("If-None-Match",), errors=(errors.NotFound,))
def show(batch_id: str) -> Response:
    """Show a batch."""
    return tagged(_view(batch_id))


@blueprint.patch("/<batch_id>")
@operation(
    "Change a batch while it runs",
    access=Access.WRITE,
    returns=BatchView,
    takes={"application/json": BatchChange},
    errors=(errors.NotFound, errors.InvalidParams),
)
def change(batch_id: str) -> Response:
    """Change what may be changed."""
    _view(batch_id)  # one that is not there is not there, whatever is asked of it
    asked = validated(BatchChange, bodies.json_object(request))
    lifecycle.change(services().database, services().dispatcher, caller(), batch_id, asked)
    return json_answer(_view(batch_id))


@blueprint.post("/<batch_id>/start")
@operation("Start a batch that was opened", access=Access.WRITE, returns=BatchView, errors=_STEERED)
def start(batch_id: str) -> Response:
    """Have its items painted."""
    return _steered(batch_id, BatchState.RUNNING, only_from=BatchState.OPEN)


@blueprint.post("/<batch_id>/pause")
@operation("Begin no more items until it is resumed; those that run go on", access=Access.WRITE, returns=BatchView,
           errors=_STEERED)  # fmt: skip
def pause(batch_id: str) -> Response:
    """Hold a batch."""
    return _steered(batch_id, BatchState.PAUSED)


@blueprint.post("/<batch_id>/resume")
@operation("Go on with a batch that is paused", access=Access.WRITE, returns=BatchView, errors=_STEERED)
def resume(batch_id: str) -> Response:
    """Go on."""
    return _steered(batch_id, BatchState.RUNNING, only_from=BatchState.PAUSED)


@blueprint.post("/<batch_id>/cancel")
@operation("Cancel what has not ended of a batch, for good", access=Access.WRITE, returns=BatchView, errors=_STEERED)
def cancel(batch_id: str) -> Response:
    """Give a batch up."""
    return _steered(batch_id, BatchState.CANCELED)


@blueprint.post("/<batch_id>/retry-failed")
@operation("Try again the items that failed or expired", access=Access.WRITE, returns=RetriedView, errors=_STEERED)
def retry_failed(batch_id: str) -> Response:
    """Put new jobs in the place of those that failed."""
    count = lifecycle.retry_failed(services().database, services().dispatcher, caller(), batch_id)
    return json_answer(RetriedView(retried=count, batch=_view(batch_id)))


@blueprint.get("/<batch_id>/sheet.webp")
@operation(
    "Show a matrix as one picture, as far as it is painted",
    access=Access.READ,
    returns={"image/webp": BINARY},
    errors=(errors.NotFound, errors.NoResult),
)
def sheet(batch_id: str) -> Response:
    """Draw the contact sheet."""
    matrix = _view(batch_id).matrix
    if matrix is None:
        raise errors.NoResult("Only a matrix has a sheet, and this batch is none.")
    drawn = matrix_sheet.draw(services().database, services().store, batch_id, matrix)
    return Response(drawn, content_type="image/webp", headers={"Cache-Control": "no-cache"})


@blueprint.post("/<batch_id>/promote")
@operation(
    "Paint one item again for good, as a job of its own",
    access=Access.WRITE,
    status=202,
    returns=JobView,
    takes={"application/json": PromoteRequest},
    errors=(errors.NotFound, errors.InvalidParams, errors.UnknownImage, errors.TooLarge, errors.QuotaExceeded),
)
def promote(batch_id: str) -> tuple[Response, int]:
    """Queue a job like an item, of another size."""
    _view(batch_id)
    asked = validated(PromoteRequest, bodies.json_object(request))
    job = submit.submit(services(), lifecycle.promotion(services().database, caller(), batch_id, asked))
    return shown(Sight(job)), 202


def _fill(batch_id: str, asked: BatchRequest, archive: IO[bytes] | None) -> AddedView | None:
    """Add what came with the request of an open batch, and start it."""
    with services().database.reading() as session:
        is_open = batches.get_batch(session, batch_id, owner=caller().sees).state == BatchState.OPEN
    found, limit = services(), services().settings.max_batch_items
    if asked.matrix is not None and is_open:
        lifecycle.fill_matrix(BatchIngest(found.database, caller(), batch_id, max_items=limit), asked.matrix)
        lifecycle.transition(found.database, found.dispatcher, caller(), batch_id, BatchState.RUNNING)
    if archive is None or not is_open:
        return None
    ingest = BatchIngest(found.database, caller(), batch_id, max_items=limit)
    media_type = archive_reader.detect_media_type(archive)
    report = ingest.add(readers.from_archive(found.settings, archive, media_type, upload, skip=ingest.report.skip))
    lifecycle.transition(found.database, found.dispatcher, caller(), batch_id, BatchState.RUNNING)
    return serialize_report(batch_id, report)


def _steered(batch_id: str, to: BatchState, *, only_from: BatchState | None = None) -> Response:
    found = services()
    lifecycle.transition(found.database, found.dispatcher, caller(), batch_id, to, only_from=only_from)
    return json_answer(_view(batch_id))


def _view(batch_id: str) -> BatchView:
    with services().database.reading() as session:
        return serialize_batch(session, batches.get_batch(session, batch_id, owner=caller().sees))


def _state() -> BatchState | None:
    text = request.args.get("state")
    try:
        return BatchState(text) if text is not None else None
    except ValueError:
        mistake = {"pointer": "state", "detail": f"one of {', '.join(BatchState)}"}
        raise errors.InvalidParams(f"state is one of {', '.join(BatchState)}.", errors=[mistake]) from None
