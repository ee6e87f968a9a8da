"""What unpacking an archive may take, counted while it is unpacked.

Whatever is unpacked is paid for by the archive's own size, with an allowance that lets small ones be. Pictures hardly
shrink, so an honest archive stays far below; a bomb is noticed after the allowance, a fraction of a second.

Invariant: the work for an archive is bounded by a constant and by the bytes that its client sent, whatever its headers
claim.
"""

from collections.abc import Callable
from typing import NamedTuple

from shared.errors import ArchiveTooLarge, AtelierError

#: Bytes that every archive may unpack to, and how many more for each byte of its own. Deflate reaches a thousandfold,
#: bzip2 a millionfold; blank pictures in a format without compression rarely exceed a hundred together.
_FREE_BYTES, _RATIO = 128 * 2**20, 200
#: What a header counts for, and a picture that is handed on, in bytes that would take as long to unpack.
_HEADER_BYTES, _PICTURE_BYTES = 2**14, 2**15
#: What may follow the end of an archive: programs that write in blocks fill up the last one with zeros, and some
#: clients end a body with a line break.
FILLING = b"\0\r\n"


class Bounds(NamedTuple):
    """The largest archive to read."""

    #: Bytes of the archive, and also of all its members together, unpacked.
    total: int
    #: Bytes of one member, unpacked.
    member: int
    members: int


class Meter:
    """Counts what an archive takes; every method raises `ArchiveTooLarge` beyond its bounds, or what `attend` does."""

    def __init__(self, bounds: Bounds, archive_bytes: int, attend: Callable[[], None]) -> None:
        """Count for an archive of that size; `attend` is called often, and ends the work by raising."""
        self.bounds = bounds
        self._attend = attend
        self._left = bounds.total
        self._allowance = _FREE_BYTES + _RATIO * archive_bytes
        self._members = 0

    def unpacked(self, size: int) -> None:
        """Count unpacked bytes, whether read or skipped."""
        self._attend()
        self._left -= size
        if self._left < 0:
            raise too_large(self.bounds.total, " unpacked")
        self._spend(size)

    def claimed(self, size: int) -> None:
        """Check the size that a member is said to have, without counting it."""
        if size > self._left:
            raise too_large(self.bounds.total, " unpacked")

    def header(self) -> None:
        """Count a header, or a compressed stream of several."""
        self._attend()
        self._spend(_HEADER_BYTES)

    def picture(self) -> None:
        """Count a member that is to be decoded."""
        self._spend(_PICTURE_BYTES)

    def member(self) -> int:
        """Count a member; return its number, from 1."""
        self._members += 1
        if self._members > self.bounds.members:
            raise self.too_many(f"more than {self.bounds.members}")
        return self._members

    def too_many(self, count: object) -> AtelierError:
        """Return the error of an archive with `count` members."""
        return ArchiveTooLarge(f"The archive has {count} members; at most {self.bounds.members} are allowed.")

    def _spend(self, size: int) -> None:
        self._allowance -= size
        if self._allowance < 0:
            raise ArchiveTooLarge(
                "The archive unpacks to far more than pictures do; send fewer or larger pictures in one archive."
            )


def too_large(limit: int, how: str = "") -> ArchiveTooLarge:
    """Return the error of an archive with more than `limit` bytes."""
    return ArchiveTooLarge(f"The archive has more than {limit} bytes{how}.", max_bytes=limit)
