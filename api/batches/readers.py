"""Items as requests bring them: JSON Lines, a JSON list, files or archives, read piece by piece.

Invariant: no more than one line, list or file is in memory at once, each within its bound.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING, Any

from werkzeug.datastructures import FileStorage

from api.access import Caller
from api.batches import archive_reader
from api.batches.report import Offer
from api.http import bodies
from api.schemas import batches
from api.services import Services
from api.usecases.images import inspect_upload, keep_upload
from shared.errors import AtelierError, BodyTooLarge, InvalidRequest

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_BLOCK_BYTES = 2**18
#: Longest list in one piece of JSON, in bytes: read, it takes many times that. Lines have no such end.
MAX_LIST_BYTES = 16 * 2**20


class _Raw(io.RawIOBase):
    """A request's stream in blocks: by itself it reads lines byte by byte."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        data = self._stream.read(len(view))
        view[: len(data)] = data
        return len(data)


def from_lines(stream: IO[bytes]) -> Iterator[Offer]:
    """Read an item of each line; empty ones count, and bring nothing."""
    number, stream = 0, io.BufferedReader(_Raw(stream), _BLOCK_BYTES)
    while line := stream.readline(bodies.MAX_JSON_BYTES + 1):
        number += 1
        if len(line) > bodies.MAX_JSON_BYTES:
            yield Offer(number, None, BodyTooLarge(f"A line may have {bodies.MAX_JSON_BYTES} bytes."))
            _skip_line(stream, line)
        elif line.strip():
            yield Offer(number, None, _parsed(line))


def body(text: bytes) -> Any:
    """Read a JSON body; raise `BodyTooLarge` or `InvalidRequest`."""
    if len(text) > MAX_LIST_BYTES:
        raise BodyTooLarge(f"A list may have {MAX_LIST_BYTES} bytes; send lines.", max_bytes=MAX_LIST_BYTES)
    return bodies.json_value(text)


def from_list(items: object) -> Iterator[Offer]:
    """Read the items of a JSON list; raise `InvalidRequest` for anything else."""
    if not isinstance(items, list):
        raise InvalidRequest("The body is neither a list of items nor an object that names a source.")
    return (Offer(number, None, item) for number, item in enumerate(items, 1))


def from_files(services: Services, caller: Caller, files: list[FileStorage]) -> Iterator[Offer]:
    """Keep pictures that came as files, each an item by its file's name."""
    for number, file in enumerate(files, 1):
        yield offered(services, caller, number, file.filename or "", file.read())


def from_archive(
    services: Services, caller: Caller, stream: IO[bytes], media_type: str, *, skip: Callable[[], None]
) -> Iterator[Offer]:
    """Keep the pictures of an archive, each an item by its name; `skip` is called for what is none by its kind."""
    settings = services.settings
    bounds = archive_reader.Bounds(settings.max_batch_bytes, settings.max_upload_bytes, settings.max_batch_items)
    for member in archive_reader.members(stream, media_type, bounds):
        if isinstance(member, archive_reader.Skipped):
            skip()
        elif isinstance(member.data, AtelierError):
            yield Offer(member.number, batches.readable(member.name), member.data)
        else:
            yield offered(services, caller, member.number, member.name, member.data)


def offered(services: Services, caller: Caller, line: int, key: str, data: bytes) -> Offer:
    """Keep a picture and offer it as the item of that key, or say why it is none."""
    try:
        batches.check_key(key)
        image, _ = keep_upload(services.database, services.store, inspect_upload(services.settings, data), caller)
    except AtelierError as error:
        if error.retryable:
            raise
        return Offer(line, batches.readable(key), error)
    return Offer(line, key, {"key": key, "content": image.id})


def _parsed(line: bytes) -> Any:
    try:
        return bodies.json_value(line)
    except InvalidRequest as error:
        return error


def _skip_line(stream: IO[bytes], piece: bytes) -> None:
    while piece and not piece.endswith(b"\n"):
        piece = stream.readline(bodies.MAX_JSON_BYTES)
