"""The items of a batch: added, listed, and their results streamed."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from operator import attrgetter
from typing import IO, NamedTuple

from flask import Blueprint, Response, request
from pydantic import BaseModel, Field

from api.access import Access
from api.auth import caller, while_valid
from api.batches import archive_writer, imports, readers, results_feed
from api.batches.archives import reader
from api.batches.ingest import BatchIngest
from api.batches.member_names import checked_encoding
from api.batches.report import Candidate, Skip, require_added, serialize_report
from api.http import bodies, forms, presence
from api.http.files import cut, describe_file
from api.http.pagination import Page, PageQuery, page
from api.http.problems import validated
from api.http.query import Count, Flag, parsed_query
from api.http.responses import model_response, page_response, stream_response
from api.openapi.operation import operation
from api.openapi.parameters import BINARY, FILE_HEADERS
from api.schemas.batches import AddedView, ItemRequest, ItemResultView, ItemsRequest
from api.schemas.jobs import JobPage
from api.serializers.jobs import serialize_job
from api.services import services
from api.usecases.images import inspect_upload, keep_upload
from shared import errors
from shared.db.batches import items, lifecycle
from shared.states import State

blueprint = Blueprint("items", __name__, url_prefix="/v1/batches/<batch_id>")

_LINES = ("application/x-ndjson", "application/jsonl")
_ITEMS = {
    "application/json": ItemsRequest,
    _LINES[0]: ItemRequest,
    bodies.MULTIPART: {"type": "object", "properties": {"file": {"type": "array", "items": BINARY}}},
    **dict.fromkeys((reader.ZIP[0], *reader.TAR[:2]), BINARY),
}
_REFUSALS = (
    errors.IllegalTransition, errors.InvalidParams, errors.UnknownImage, errors.QuotaExceeded, errors.StorageFull,
    errors.ForbiddenSource, errors.ArchiveTooLarge, errors.CorruptArchive, errors.NothingAdded, errors.TooManyArchives,
    errors.DecoderUnavailable,
)  # fmt: skip


class ArchiveQuery(BaseModel):
    """How to read an archive."""

    name_encoding: str | None = Field(
        None,
        description="Encoding of the names in an archive that are not UTF-8, such as `cp932` or `windows-1252`; "
        "by default `cp437` in a zip, as its format says.",
    )


class ItemsQuery(PageQuery):
    """Which items to list."""

    state: list[State] = Field(default_factory=list, description="Only items in these states.")
    key: str | None = Field(None, description="Only the item with this key.")


class ResultsQuery(BaseModel):
    """Which results to read."""

    after: Count = Field(0, ge=0, description="The last `number` read; results start after it.")
    follow: Flag = Field(False, description="`true` streams until the batch has ended; empty lines keep it alive.")


@blueprint.post("/items")
@operation(access=Access.WRITE, returns=AddedView, takes=_ITEMS, query=ArchiveQuery, errors=_REFUSALS)
def add(batch_id: str) -> Response:
    """Add items, before a batch starts or while it runs; an item that is sent again is added once.

    An archive or a folder of which nothing can be added is refused as `nothing_added`.
    """
    ingest = new_ingest(batch_id)
    with sending_archive() if _is_archive() else nullcontext():
        found = _candidates(ingest.report.skip)
        report = ingest.add(found.items)
    if found.are_of_files:
        require_added(report)
    services().dispatcher.nudge()
    return model_response(serialize_report(batch_id, report))


@blueprint.get("/items")
@operation(access=Access.READ, returns=JobPage, query=ItemsQuery)
def listing(batch_id: str) -> Response:
    """List items in the order in which they were added."""
    query = parsed_query(ItemsQuery)
    with services().database.reading() as session:
        lifecycle.get_batch(session, batch_id, owner=caller().sees)
        if query.key is not None:
            found = Page([items.get_item(session, batch_id, query.key)], None)
        else:
            later = partial(items.list_items, session, batch_id, query.state, after=query.cursor)
            found = page(later, query.limit, position=attrgetter("sort_id"))
    return page_response(JobPage(jobs=[serialize_job(job) for job in found.rows], next_cursor=found.next_cursor))


@blueprint.get("/results.jsonl")
@operation(access=Access.READ, returns={_LINES[0]: ItemResultView}, query=ResultsQuery, errors=(errors.TooManyStreams,))
def results(batch_id: str) -> Response:
    """Read the items that have ended, one per line, in an order that never changes."""
    found, query = services(), parsed_query(ResultsQuery)
    with found.database.reading() as session:
        lifecycle.get_batch(session, batch_id, owner=caller().sees)
    max_duration_s = found.settings.stream_life_s
    lines = results_feed.lines(
        found.database, found.hub, batch_id, after=query.after, follow=query.follow, max_duration_s=max_duration_s
    )
    return stream_response(found.streams, caller().owner, while_valid(lines), _LINES[0])


@blueprint.get("/archive.zip")
@operation(access=Access.READ, returns={reader.ZIP[0]: BINARY}, headers=FILE_HEADERS, errors=(errors.TooManyStreams,))
def archive(batch_id: str) -> Response:
    """Download the finished pictures as a zip, with `manifest.jsonl` as its last file.

    It can be resumed once the batch has ended, if all of its pictures are as painted.
    """
    found = services()
    with found.database.reading() as session:
        batch = lifecycle.get_batch(session, batch_id, owner=caller().sees)
    measured = archive_writer.measure(found.database, found.pictures, batch)
    chunks = archive_writer.stream(found.database, found.pictures, batch_id, measured)
    response = stream_response(found.streams, caller().owner, chunks, reader.ZIP[0])
    response.headers["Content-Disposition"] = f'attachment; filename="{batch_id}.zip"'
    if measured is None:
        response.headers["Accept-Ranges"] = "none"
        return response
    part = describe_file(response, measured.etag, measured.length)
    if part is not None:
        response.response = cut(chunks, part)
    return response


def upload(data: bytes) -> str:
    """Store a picture of the caller's; return its image id."""
    found = services()
    return keep_upload(found.database, found.store, inspect_upload(found.decoders, data, caller()), caller())[0].id


def new_ingest(batch_id: str) -> BatchIngest:
    """Prepare to add items of this request to a batch."""
    found = services()
    return BatchIngest(
        found.database,
        caller(),
        batch_id,
        max_items=found.settings.max_batch_items,
        attend=presence.attend(request),
    )


def archive_source(stream: IO[bytes], media_type: str, name_encoding: str | None) -> readers.ArchiveSource:
    """Describe an archive that came with this request."""
    return readers.ArchiveSource(stream, media_type, name_encoding, services().archive_turns, presence.attend(request))


def sending_archive() -> AbstractContextManager[None]:
    """Count an archive of the caller's, from its first byte to its last item; raise `TooManyArchives`."""
    return services().archive_turns.sending(caller().owner)


def _is_archive() -> bool:
    return request.mimetype in (*reader.ZIP, *reader.TAR)


class _Sent(NamedTuple):
    """The items of a request; those of an archive or a folder, of which something must be added, `are_of_files`."""

    items: Iterator[Candidate]
    are_of_files: bool = False


def _candidates(skip: Skip) -> _Sent:
    """Read the items of this request, in whichever form it sends them."""
    found = services()
    request.max_content_length = found.settings.max_batch_bytes
    if request.mimetype in _LINES:
        return _Sent(readers.from_lines(request.stream))
    if request.is_json:
        request.max_content_length = readers.MAX_LIST_BYTES
        body = readers.body(request.get_data(cache=False))
        if isinstance(body, dict):
            wanted = validated(ItemsRequest, body, later="items")
            if wanted.source is None:
                return _Sent(readers.from_list(wanted.items))
            imported = imports.candidates(found.settings, found.store, wanted.source, upload, skip=skip)
            return _Sent(imported, are_of_files=True)
        return _Sent(readers.from_list(body))
    if request.mimetype == bodies.MULTIPART:
        forms.bound(request, bodies.file_bounds(found.settings.max_upload_bytes))
        return _Sent(readers.from_files([file for _, file in request.files.items(multi=True)], upload))
    if _is_archive():
        request.max_content_length = None  # the archive reader has the same bound, and an error of its own
        encoding = checked_encoding(parsed_query(ArchiveQuery).name_encoding)
        archived = archive_source(request.stream, request.mimetype, encoding)
        return _Sent(readers.from_archive(found.settings, archived, upload, skip=skip), are_of_files=True)
    raise errors.UnsupportedMediaType(
        f"Send items as application/json, {_LINES[0]}, multipart/form-data or an archive."
    )
