"""What reading an archive finds, whatever its kind: files, and what is skipped."""

import io
from typing import NamedTuple, Protocol

from api.batches.archives.bounds import Meter
from api.batches.archives.selection import MAX_NAME_BYTES, Skipped
from api.schemas.batches import MAX_KEY
from shared.errors import AtelierError, CorruptArchive, ImageTooLarge, UnsafePath, UnsupportedImage
from shared.imaging.formats.recognition import recognize

BLOCK_BYTES = 2**18


class Member(NamedTuple):
    """A file in an archive: its content, or why it was refused."""

    #: Its position, from 1; skipped files count.
    number: int
    #: As a key, or as it is in the archive where it cannot be one.
    name: str
    data: bytes | AtelierError


Found = Member | Skipped


def with_long_name(number: int, name: bytes) -> Member:
    """Refuse a member with a name of more than `MAX_NAME_BYTES`."""
    start = name[:MAX_KEY].decode(errors="replace")
    return Member(number, start, UnsafePath(f"The name has {len(name)} bytes; at most {MAX_NAME_BYTES} are allowed."))


class Stream(Protocol):
    """Bytes that are read once, in order."""

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes, none at the end; raise `CorruptArchive` where the stream breaks off."""


def read_picture(stream: Stream, size: int, meter: Meter) -> bytes | AtelierError:
    """Read a member of `size` bytes, or as many as can be known to be too many; return why it is refused, if it is.

    What is no picture by its first bytes is read no further. Raises `CorruptArchive` if the stream ends before it.
    """
    limit = meter.bounds.member
    if size > limit:
        return ImageTooLarge(f"The file has {size} bytes unpacked; at most {limit} are allowed.", max_bytes=limit)
    kept = io.BytesIO()
    while kept.tell() < size:
        piece = stream.read(min(BLOCK_BYTES, size - kept.tell()))
        if not piece:
            raise CorruptArchive("This file in the archive is shorter than it is said to be.")
        meter.unpacked(len(piece))
        is_first = kept.tell() == 0
        kept.write(piece)
        if is_first and recognize(piece) is None:
            return UnsupportedImage()
    if not size:
        return UnsupportedImage()
    meter.picture()
    return kept.getvalue()
