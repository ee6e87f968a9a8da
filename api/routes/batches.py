"""Batches: open, fill, start, pause, resume, cancel, change, list, show, retry, promote."""

from contextlib import nullcontext
from functools import partial
from typing import IO

from flask import Blueprint, Response, request
from pydantic import Field

from api.access import Access
from api.auth import caller
from api.batches import lifecycle, matrix_sheet, readers
from api.batches.member_names import checked_encoding
from api.batches.report import require_added, serialize_report
from api.http import bodies, idempotency, presence
from api.http.idempotency import Once
from api.http.pagination import PageQuery, page
from api.http.problems import validated
from api.http.query import parsed_query
from api.http.responses import (
    accepted_response,
    etag_response,
    job_response,
    model_response,
    page_response,
    tagged_response,
)
from api.jobs import checks
from api.live.snapshot import JobSnapshot
from api.openapi.operation import operation
from api.openapi.parameters import BINARY
from api.routes.items import ArchiveQuery, archive_source, new_ingest, sending_archive, upload
from api.schemas import batches as schemas
from api.schemas.jobs import JobView
from api.schemas.retries import RetryFailedRequest
from api.serializers.batches import serialize_batch, serialize_batches
from api.services import services
from api.usecases.images import inspect_upload, record_uploads, stored
from shared import errors, ids
from shared.db.batches import lifecycle as batches
from shared.db.batches.lifecycle import Filter
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
_OPENING = (
    errors.InvalidParams, errors.UnknownImage, errors.InvalidMask, errors.ForbiddenUrl, errors.QuotaExceeded,
    errors.TooLarge, errors.ArchiveTooLarge, errors.CorruptArchive, errors.NothingAdded, errors.TooManyArchives,
    errors.DecoderUnavailable,
)  # fmt: skip
_TRANSITION = (errors.IllegalTransition,)


class BatchesQuery(PageQuery):
    """Which batches to list."""

    state: BatchState | None = Field(None, description="Only batches in this state.")
    label: str | None = Field(None, description="Only batches with this label.")
    owner: str | None = Field(None, description="Only batches of this owner; a client sees only its own.")


@blueprint.post("")
@operation(
    access=Access.WRITE,
    status=201,
    returns=schemas.OpenedView,
    takes={"application/json": schemas.BatchRequest, bodies.MULTIPART: _MULTIPART},
    query=ArchiveQuery,
    headers=("Idempotency-Key",),
    errors=_OPENING,
)
def open_() -> Response:
    """Open a batch.

    One with a matrix or an archive is also filled and started; if nothing of the archive can be added, none is opened.
    """
    with sending_archive() if request.mimetype == bodies.MULTIPART else nullcontext():
        return _opened()


def _opened() -> Response:
    encoding = checked_encoding(parsed_query(ArchiveQuery).name_encoding)
    settings = services().settings
    request.max_content_length = settings.max_batch_bytes
    form = bodies.batch_form(request, settings.max_upload_bytes, settings.max_batch_bytes)
    once = idempotency.once(request, caller(), form.fingerprint(presence.attend(request)))
    batch_request = validated(schemas.BatchRequest, form.body)
    if once.find(services().database) is None:
        _open(once, batch_request, form.styles)
    batch_id = once.created_id()
    try:  # on a replay too: the first request may have died before
        added = _fill(batch_id, batch_request, form.archive, encoding)
    except errors.AtelierError:
        lifecycle.discard_empty(services().database, caller(), batch_id, once)
        raise
    once.set_response(schemas.OpenedView(**_view(batch_id).model_dump(), added=added), 201)
    return accepted_response(once)


@blueprint.get("")
@operation(access=Access.READ, returns=schemas.BatchPage, query=BatchesQuery)
def listing() -> Response:
    """List batches, newest first."""
    query = parsed_query(BatchesQuery)
    wanted = Filter(owner=caller().sees or query.owner, state=query.state, label=query.label)
    with services().database.reading() as session:
        found = page(partial(batches.list_batches, session, wanted, before=query.cursor), query.limit)
        views = serialize_batches(session, found.rows)
    return page_response(schemas.BatchPage(batches=views, next_cursor=found.next_cursor))


@blueprint.get("/<batch_id>")
@operation(access=Access.READ, returns=schemas.BatchView, headers=("If-None-Match",))
def show(batch_id: str) -> Response:
    """Show a batch."""
    return etag_response(_view(batch_id))


@blueprint.patch("/<batch_id>")
@operation(
    access=Access.WRITE,
    returns=schemas.BatchView,
    takes={"application/json": schemas.BatchChange},
    errors=(errors.InvalidParams,),
)
def change(batch_id: str) -> Response:
    """Change a batch while it runs."""
    _view(batch_id)  # 404 for an unknown batch, whatever the body
    changes = validated(schemas.BatchChange, bodies.json_object(request))
    lifecycle.change(services().database, services().dispatcher, caller(), batch_id, changes)
    return model_response(_view(batch_id))


@blueprint.post("/<batch_id>/start")
@operation(access=Access.WRITE, returns=schemas.BatchView, errors=_TRANSITION)
def start(batch_id: str) -> Response:
    """Start a batch that was opened."""
    return _transition(batch_id, BatchState.RUNNING, only_from=BatchState.OPEN)


@blueprint.post("/<batch_id>/pause")
@operation(access=Access.WRITE, returns=schemas.BatchView, errors=_TRANSITION)
def pause(batch_id: str) -> Response:
    """Pause a batch: no more items start; those that run go on."""
    return _transition(batch_id, BatchState.PAUSED)


@blueprint.post("/<batch_id>/resume")
@operation(access=Access.WRITE, returns=schemas.BatchView, errors=_TRANSITION)
def resume(batch_id: str) -> Response:
    """Resume a paused batch."""
    return _transition(batch_id, BatchState.RUNNING, only_from=BatchState.PAUSED)


@blueprint.post("/<batch_id>/cancel")
@operation(access=Access.WRITE, returns=schemas.BatchView, errors=_TRANSITION)
def cancel(batch_id: str) -> Response:
    """Cancel a batch permanently, and its items that have not ended."""
    return _transition(batch_id, BatchState.CANCELED)


@blueprint.post("/<batch_id>/retry-failed")
@operation(
    access=Access.WRITE,
    returns=schemas.RetriedView,
    takes={"application/json": RetryFailedRequest},
    body_optional=True,
    errors=(*_TRANSITION, errors.InvalidParams, errors.QuotaExceeded),
)
def retry_failed(batch_id: str) -> Response:
    """Retry the items that failed or expired; the body says what changes."""
    found, wanted = services(), validated(RetryFailedRequest, bodies.optional_json_object(request))
    checks.check_limits(found.settings, caller(), wanted.time_limit_s, None)
    changes = wanted.model_dump(exclude_unset=True)
    count = lifecycle.retry_failed(found.database, found.dispatcher, caller(), batch_id, changes)
    return model_response(schemas.RetriedView(retried=count, batch=_view(batch_id)))


@blueprint.get("/<batch_id>/sheet.webp")
@operation(
    access=Access.READ,
    returns={"image/webp": BINARY},
    headers=("If-None-Match",),
    errors=(errors.NoResult, errors.DecoderUnavailable),
)
def sheet(batch_id: str) -> Response:
    """Show a matrix as one picture, with the cells painted so far."""
    matrix = _view(batch_id).matrix
    if matrix is None:
        raise errors.NoResult("Only a matrix has a contact sheet, and this batch is not a matrix.")
    drawing = matrix_sheet.Drawing(services().database, services().pictures, batch_id, matrix)
    return tagged_response(drawing.version, "image/webp", lambda: drawing.encoded(owner=caller().owner))


@blueprint.post("/<batch_id>/promote")
@operation(
    access=Access.WRITE,
    status=202,
    returns=JobView,
    takes={"application/json": schemas.PromoteRequest},
    errors=(errors.InvalidParams, errors.UnknownImage, errors.TooLarge, errors.QuotaExceeded),
)
def promote(batch_id: str) -> Response:
    """Paint one item at its final size, as a job of its own."""
    _view(batch_id)
    promotion = lifecycle.promotion(
        services().database, caller(), batch_id, validated(schemas.PromoteRequest, bodies.json_object(request))
    )
    submitter = services().submitter
    with submitter.prepared(promotion) as prepared:
        return job_response(JobSnapshot(submitter.submit(prepared)), 202)


def _open(once: Once, batch_request: schemas.BatchRequest, styles: list[bytes]) -> None:
    """Store the styles that came with a batch, and open it."""
    found = services()
    uploads = {ids.image_id(data): inspect_upload(found.decoders, data, caller()) for data in styles}
    with stored(found.database, found.store, uploads):
        batch = lifecycle.new_batch(found.settings, found.store, found.decoders, caller(), batch_request)
        with once.writing(found.database, "open_batch") as session:
            record_uploads(session, found.store, uploads, caller())
            lifecycle.open_batch(session, caller(), batch)
            once.set_response(serialize_batch(session, batch), 201)


def _fill(
    batch_id: str, batch_request: schemas.BatchRequest, archive: IO[bytes] | None, name_encoding: str | None
) -> schemas.AddedView | None:
    """Add the cells or the archive that came with a request to an open batch, and start it."""
    with services().database.reading() as session:
        is_open = batches.get_batch(session, batch_id, owner=caller().sees).state == BatchState.OPEN
    found = services()
    if batch_request.matrix is not None and is_open:
        lifecycle.fill_matrix(new_ingest(batch_id), batch_request.matrix)
        lifecycle.transition(found.database, found.dispatcher, caller(), batch_id, BatchState.RUNNING)
    if archive is None or not is_open:
        return None
    ingest, source = new_ingest(batch_id), archive_source(archive, "", name_encoding)
    report = ingest.add(readers.from_archive(found.settings, source, upload, skip=ingest.report.skip))
    require_added(report)
    lifecycle.transition(found.database, found.dispatcher, caller(), batch_id, BatchState.RUNNING)
    return serialize_report(batch_id, report)


def _transition(batch_id: str, to: BatchState, *, only_from: BatchState | None = None) -> Response:
    found = services()
    lifecycle.transition(found.database, found.dispatcher, caller(), batch_id, to, only_from=only_from)
    return model_response(_view(batch_id))


def _view(batch_id: str) -> schemas.BatchView:
    with services().database.reading() as session:
        return serialize_batch(session, batches.get_batch(session, batch_id, owner=caller().sees))
