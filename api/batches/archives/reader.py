"""Archives from untrusted clients: received within a bound, then read one member at a time.

An archive is first copied to an anonymous temporary file: a zip is read from its end, and no slow client keeps others
from having theirs read. No name in an archive becomes a path on our disk: names become item keys (`member_names`),
which are validated like any other. Which members are taken, `selection` says.

Invariant: receiving stops within a block of the bound on bytes, and reading within one of the bounds of `bounds`; no
member takes more memory than an upload may.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, NamedTuple

from api.batches.archives import tars, zips
from api.batches.archives.bounds import Bounds, Meter, too_large
from api.batches.archives.found import BLOCK_BYTES, Found
from api.batches.archives.selection import Selection
from api.batches.archives.streams import DAMAGED, PACKINGS, PackedTar, PlainTar
from shared.errors import AtelierError, CorruptArchive

ZIP = ("application/zip", "application/x-zip-compressed")
TAR = ("application/x-tar", "application/gzip", "application/x-gzip", "application/x-xz", "application/x-bzip2")

#: How archives of kinds that are not read begin.
_OTHER_KINDS = {b"7z\xbc\xaf\x27\x1c": "7z", b"Rar!\x1a\x07": "RAR", b"\x28\xb5\x2f\xfd": "Zstandard"}


class Archive(NamedTuple):
    """An archive on our disk."""

    file: IO[bytes]
    size: int
    is_zip: bool


@contextmanager
def received(stream: IO[bytes], media_type: str, bounds: Bounds, attend: Callable[[], None]) -> Iterator[Archive]:
    """Receive an archive, and delete it at the end of the block.

    It is told by its first bytes, or else by its media type, "" if that is unknown. `attend` is called before each
    block, and ends the work by raising. Raises `ArchiveTooLarge`, and `CorruptArchive` for what is no archive by its
    beginning.
    """
    start = b""
    while len(start) < tars.BLOCK and (more := stream.read(tars.BLOCK - len(start))):
        start += more
    is_zip = _is_zip(start, media_type)
    if isinstance(stream, tempfile.SpooledTemporaryFile):  # of a form, whose parser bounds it
        yield Archive(stream, os.fstat(stream.fileno()).st_size, is_zip)
        return
    with tempfile.TemporaryFile(buffering=0) as copy:
        size, block = 0, start
        while block:
            size += len(block)
            if size > bounds.total:
                raise too_large(bounds.total)
            copy.write(block)
            attend()
            block = stream.read(min(BLOCK_BYTES, bounds.total + 1 - size))
        yield Archive(copy, size, is_zip)


def members(
    archive: Archive, bounds: Bounds, attend: Callable[[], None], *, name_encoding: str | None = None
) -> Iterator[Found]:
    """Yield the members of an archive in order.

    Names are UTF-8, or else in `name_encoding`; by default cp437 in a zip, and of no known encoding in a tar.

    Raises `ArchiveTooLarge` as soon as a bound is passed, and `CorruptArchive` where reading cannot continue; members
    already yielded are complete.
    """
    meter = Meter(bounds, archive.size, attend)
    found = (_zip if archive.is_zip else _tar)(archive, meter, Selection(name_encoding))
    try:
        yield from found
    except AtelierError:
        raise
    except DAMAGED as error:
        raise CorruptArchive("The archive is damaged, or something follows its end.") from error


def _zip(archive: Archive, meter: Meter, chosen: Selection) -> Iterator[Found]:
    return zips.members(archive.file, archive.size, meter, chosen)


def _tar(archive: Archive, meter: Meter, chosen: Selection) -> Iterator[Found]:
    archive.file.seek(0)
    start = archive.file.read(tars.BLOCK)
    archive.file.seek(0)
    packing = next((begin for signature, begin in PACKINGS.items() if start.startswith(signature)), None)
    if packing is not None:
        return tars.members(PackedTar(archive.file, packing, meter), meter, chosen)
    return tars.members(PlainTar(archive.file, archive.size, meter), meter, chosen)


def _is_zip(start: bytes, media_type: str) -> bool:
    """Return whether an archive is a zip rather than a tar, by its first bytes, or else by its media type.

    Raises `CorruptArchive` for what is neither.
    """
    other = next((name for signature, name in _OTHER_KINDS.items() if start.startswith(signature)), None)
    if other is not None:
        raise CorruptArchive(f"{other} archives are not supported; send a zip or a tar.")
    if start.startswith(b"PK"):
        return True
    if start.startswith(tuple(PACKINGS)) or tars.is_header(start):
        return False
    if media_type not in ZIP:
        raise CorruptArchive("This is neither a zip nor a tar.")
    return True
