"""What is in a batch: items added and listed, results as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from flask import Blueprint, Response, request

from api.access import Access
from api.auth import caller
from api.batches import archive_reader, archive_writer, imports, readers, results_feed
from api.batches.ingest import BatchIngest
from api.batches.report import Candidate, serialize_report
from api.http import bodies, pagination
from api.http.problems import validated
from api.http.query import flag, wanted_states
from api.http.responses import json_answer, paged
from api.openapi.operation import operation
from api.openapi.parameters import BINARY, PAGING, given
from api.schemas.batches import AddedView, ItemRequest, ItemResultView, SourceRequest
from api.schemas.jobs import JobPage
from api.serializers.jobs import serialize_job
from api.services import services
from api.usecases import images
from api.usecases.images import inspect_upload
from shared import errors
from shared.db.batches import items, lifecycle
from shared.states import State

blueprint = Blueprint("items", __name__, url_prefix="/v1/batches/<batch_id>")

_LINES = ("application/x-ndjson", "application/jsonl")
_ITEMS = {
    "application/json": {
        "oneOf": [
            {"type": "array", "items": {"$ref": "#/components/schemas/ItemRequest"}},
            SourceRequest.model_json_schema(),
        ]
    },
    _LINES[0]: ItemRequest,
    bodies.MULTIPART: {"type": "object", "properties": {"file": {"type": "array", "items": BINARY}}},
    **dict.fromkeys((archive_reader.ZIP[0], *archive_reader.TAR[:2]), BINARY),
}


@blueprint.post("/items")
@operation(
    "Add items, before it starts or while it runs; the same item again is the one that is there",
    access=Access.WRITE,
    returns=AddedView,
    takes=_ITEMS,
    errors=(
        errors.NotFound,
        errors.IllegalTransition,
        errors.InvalidParams,
        errors.UnknownImage,
        errors.QuotaExceeded,
        errors.StorageFull,
        errors.ForbiddenSource,
        errors.ArchiveTooLarge,
        errors.CorruptArchive,
    ),
)
def add(batch_id: str) -> Response:
    """Add items, of which bad ones are told and good ones kept."""
    ingest = BatchIngest(services().database, caller(), batch_id, max_items=services().settings.max_batch_items)
    report = ingest.add(_candidates(ingest.report.skip))
    services().dispatcher.nudge()
    return json_answer(serialize_report(batch_id, report))


@blueprint.get("/items")
@operation(
    "List items in the order in which they were added",
    access=Access.READ,
    returns=JobPage,
    query={
        "state": given("Only those in these states.", repeatable=True, type="string", enum=list(State)),
        "key": given("Only the item of this key.", type="string"),
        **PAGING,
    },
    errors=(errors.NotFound,),
)
def listing(batch_id: str) -> Response:
    """List items."""
    limit = pagination.limit(request.args.get("limit"))
    after = pagination.decode(request.args.get("cursor"))
    states, key = wanted_states(), request.args.get("key")
    with services().database.reading() as session:
        lifecycle.get_batch(session, batch_id, owner=caller().sees)
        if key is not None:
            found = [items.get_item(session, batch_id, key)]
        else:
            found = items.list_items(session, batch_id, states, after=after, limit=limit + 1)
    page = found[:limit]
    cursor = pagination.encode(page[-1].sort_id) if len(found) > limit else None
    return paged(JobPage(jobs=[serialize_job(job) for job in page], next_cursor=cursor), cursor)


@blueprint.get("/results.jsonl")
@operation(
    "Read what has ended, a line each, in an order that never changes",
    access=Access.READ,
    returns={_LINES[0]: ItemResultView},
    query={
        "after": given("The last `number` that was read; it goes on behind it.", type="integer", minimum=0, default=0),
        "follow": given("`true` stays until the batch has ended; empty lines are signs of life.", type="boolean",
                        default=False),
    },
    errors=(errors.NotFound, errors.TooManyStreams),
)  # fmt: skip
def results(batch_id: str) -> Response:
    """Stream results."""
    found, after, follow = services(), _after(), flag("follow")
    with found.database.reading() as session:
        lifecycle.get_batch(session, batch_id, owner=caller().sees)
    lines = results_feed.lines(
        found.database, found.hub, batch_id, after=after, follow=follow, max_duration_s=found.settings.stream_life_s
    )
    return _streamed(lines, _LINES[0])


@blueprint.get("/archive.zip")
@operation(
    "Download the pictures that are done as one zip, with `manifest.jsonl` as its last file",
    access=Access.READ,
    returns={archive_reader.ZIP[0]: BINARY},
    errors=(errors.NotFound, errors.TooManyStreams),
)
def archive(batch_id: str) -> Response:
    """Stream a zip."""
    with services().database.reading() as session:
        lifecycle.get_batch(session, batch_id, owner=caller().sees)
    return _streamed(
        archive_writer.stream(services().database, services().store, batch_id), archive_reader.ZIP[0], f"{batch_id}.zip"
    )


def upload(data: bytes) -> str:
    """Store a picture of the caller's; return its image id."""
    return images.upload(services(), inspect_upload(services(), data), caller())[0].id


def _candidates(skip: Callable[[], None]) -> Iterator[Candidate]:
    """Read the items of this request, in whichever form it sends them."""
    found = services()
    request.max_content_length = found.settings.max_batch_bytes
    if request.mimetype in _LINES:
        return readers.from_lines(request.stream)
    if request.is_json:
        request.max_content_length = readers.MAX_LIST_BYTES
        body = readers.body(request.get_data(cache=False))
        if isinstance(body, dict):
            return imports.candidates(
                found.settings, found.store, validated(SourceRequest, body).source, upload, skip=skip
            )
        return readers.from_list(body)
    if request.mimetype == bodies.MULTIPART:
        return readers.from_files([file for _, file in request.files.items(multi=True)], upload)
    if request.mimetype in (*archive_reader.ZIP, *archive_reader.TAR):
        request.max_content_length = None  # an archive has the same bound, and an error of its own
        return readers.from_archive(found.settings, request.stream, request.mimetype, upload, skip=skip)
    raise errors.UnsupportedMediaType(
        f"Send items as application/json, {_LINES[0]}, multipart/form-data or an archive."
    )


def _streamed(told: Iterator[bytes], media_type: str, name: str | None = None) -> Response:
    """Answer with what is written while it is sent, one of so many at a time."""
    streams = services().streams
    if not streams.acquire(blocking=False):
        raise errors.TooManyStreams
    response = Response(told, content_type=media_type, headers={"Cache-Control": "no-store"})
    response.call_on_close(streams.release)
    if name:
        response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _after() -> int:
    text = request.args.get("after", "0")
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        mistake = {"pointer": "after", "detail": "the number of a result, or 0", "ge": 0}
        raise errors.InvalidParams("after is the number of a result, or 0.", errors=[mistake])
    return int(text)
