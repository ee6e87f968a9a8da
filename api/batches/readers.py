"""The items of a request, read piece by piece: JSON Lines, a JSON list, uploaded files or an archive.

Invariant: at most one line, list or file is in memory, each within its bound.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from werkzeug.datastructures import FileStorage

from api.batches.archives import reader
from api.batches.archives.bounds import Bounds
from api.batches.archives.selection import Skipped
from api.batches.archives.turns import ArchiveTurns
from api.batches.report import Candidate, Skip
from api.http import bodies
from api.schemas import batches
from shared.errors import AtelierError, BodyTooLarge, InvalidRequest
from shared.settings import Settings

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

#: Checks and stores a picture; returns its image id.
Upload = Callable[[bytes], str]

_BLOCK_BYTES = 2**18
#: Longest JSON list, in bytes: parsed, it takes many times as much memory. JSON Lines have no such limit.
MAX_LIST_BYTES = 16 * 2**20
#: Most values of such a list, told by their commas: each takes a hundred bytes, however short it is written.
_MAX_VALUES = 2**20


class _BlockStream(io.RawIOBase):
    """A request's stream, to be read through a buffer: its own `readline` reads single bytes."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        data = self._stream.read(len(view))
        view[: len(data)] = data
        return len(data)


def from_lines(stream: IO[bytes]) -> Iterator[Candidate]:
    """Read one item per line; empty lines are numbered but skipped."""
    number, stream = 0, io.BufferedReader(_BlockStream(stream), _BLOCK_BYTES)
    while line := stream.readline(bodies.MAX_JSON_BYTES + 1):
        number += 1
        if len(line) > bodies.MAX_JSON_BYTES:
            yield Candidate(number, None, BodyTooLarge(f"A line may have at most {bodies.MAX_JSON_BYTES} bytes."))
            _skip_line(stream, line)
        elif line.strip():
            yield Candidate(number, None, _parsed(line))


def body(text: bytes) -> Any:
    """Parse a JSON body; raise `BodyTooLarge` or `InvalidRequest`."""
    if len(text) > MAX_LIST_BYTES:
        raise BodyTooLarge(
            f"A JSON list may have at most {MAX_LIST_BYTES} bytes; send JSON Lines.", max_bytes=MAX_LIST_BYTES
        )
    if text.count(b",") > _MAX_VALUES:
        raise BodyTooLarge(
            f"A JSON list may have at most {_MAX_VALUES} values; send JSON Lines.", max_values=_MAX_VALUES
        )
    return bodies.json_value(text)


def from_list(items: object) -> Iterator[Candidate]:
    """Read the items of a JSON list; raise `InvalidRequest` for anything else."""
    if not isinstance(items, list):
        raise InvalidRequest("The body must be a list of items, or an object with `items` or a `source`.")
    return (Candidate(number, None, item) for number, item in enumerate(items, 1))


def from_files(files: list[FileStorage], upload: Upload) -> Iterator[Candidate]:
    """Upload each file; its name becomes the item's key."""
    for number, file in enumerate(files, 1):
        yield candidate_from_upload(number, file.filename or "", file.read(), upload)


class ArchiveSource(NamedTuple):
    """An archive to read: its bytes, what it is said to be, and whose turn it takes."""

    stream: IO[bytes]
    #: "" if that is unknown.
    media_type: str
    #: The encoding of names that are not UTF-8; None for that of the format.
    name_encoding: str | None
    turns: ArchiveTurns
    #: Called often; ends the work by raising.
    attend: Callable[[], None]


def from_archive(settings: Settings, source: ArchiveSource, upload: Upload, *, skip: Skip) -> Iterator[Candidate]:
    """Upload each picture of an archive; its name becomes the item's key.

    Call `skip` for each other file, and for each folder. Raises `TooManyArchives`, or what the archive's reader does.
    """
    bounds, attend = (
        Bounds(settings.max_batch_bytes, settings.max_upload_bytes, settings.max_batch_items),
        source.attend,
    )
    with reader.received(source.stream, source.media_type, bounds, attend) as archive, source.turns.reading(attend):
        for member in reader.members(archive, bounds, attend, name_encoding=source.name_encoding):
            if isinstance(member, Skipped):
                skip(member.unreadable)
            elif isinstance(member.data, AtelierError):
                yield Candidate(member.number, batches.printable_key(member.name), member.data)
            else:
                yield candidate_from_upload(member.number, member.name, member.data, upload)


def candidate_from_upload(line: int, key: str, data: bytes, upload: Upload) -> Candidate:
    """Upload a picture and return its item, or why it was refused; raise errors that a retry may cure."""
    try:
        batches.check_key(key)
        image_id = upload(data)
    except AtelierError as error:
        if error.retryable:
            raise
        return Candidate(line, batches.printable_key(key), error)
    return Candidate(line, key, {"key": key, "content": image_id})


def _parsed(line: bytes) -> Any:
    try:
        return bodies.json_value(line)
    except InvalidRequest as error:
        return error


def _skip_line(stream: IO[bytes], piece: bytes) -> None:
    while piece and not piece.endswith(b"\n"):
        piece = stream.readline(bodies.MAX_JSON_BYTES)
