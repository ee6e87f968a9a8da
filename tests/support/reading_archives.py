"""Reading archives without a server."""

from collections.abc import Iterator
from typing import IO

from api.batches.archives import reader
from api.batches.archives.bounds import Bounds
from api.batches.archives.found import Found


def members(stream: IO[bytes], media_type: str, bounds: Bounds, *, name_encoding: str | None = None) -> Iterator[Found]:
    """Receive an archive and yield its members."""
    with reader.received(stream, media_type, bounds, _nothing) as archive:
        yield from reader.members(archive, bounds, _nothing, name_encoding=name_encoding)


def _nothing() -> None:
    pass
