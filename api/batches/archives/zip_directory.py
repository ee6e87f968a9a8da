"""The directory of a zip, read entry by entry. Source: APPNOTE.TXT 6.3.10, sections 4.3 and 4.5.

Every claim is compared with what is there: the counts with the entries, the places with the file and with each other.

Invariant: one entry is in memory, and sixteen bytes of each other.
"""

import struct
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import NamedTuple

from api.batches.archives.bounds import FILLING, Meter
from shared.errors import CorruptArchive

#: Reads so many bytes at a place in the file, fewer at its end.
ReadAt = Callable[[int, int], bytes]

LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_ENTRY = struct.Struct("<4s4B4HL2L5H2L")
_END, _LOCATOR, _END_64 = struct.Struct("<4s4H2IH"), struct.Struct("<4sIQI"), struct.Struct("<4sQ2H2I4Q")
#: The newest version of the format that is read, in tenths.
_MAX_VERSION = 63
_NONE_16, _NONE_32 = 0xFFFF, 0xFFFFFFFF
#: The extra field with the numbers that are too large for the others.
_ZIP64 = 1
#: Most extra fields of a member; real ones have a handful.
_MAX_FIELDS = 64
#: Largest size of the directory, in bytes per member that is allowed.
_ENTRY_BYTES = 2**10
#: Most filling after the end, in bytes: `bsdtar` fills up a block of 10 KiB.
_FILLING_BYTES = 2**14
#: The longest entry, and what is read at once.
_MAX_ENTRY_BYTES, _BLOCK_BYTES = _ENTRY.size + 3 * _NONE_16, 2**18


class Entry(NamedTuple):
    """What the directory says of a member; `at` is the place of its own header."""

    name: bytes
    extra: bytes
    flags: int
    method: int
    crc: int
    packed_bytes: int
    size: int
    mode: int
    at: int


class _End(NamedTuple):
    """Where the directory is, and what is said of it."""

    #: None if there may be any number that ends in the same 16 bits: programs that do not know zip64 write that.
    exact_count: int | None
    low_count: int
    start: int
    size: int
    #: How far everything is from where the file says: programs that unpack themselves come first.
    shift: int


class Directory:
    """The directory of one zip, found and checked."""

    def __init__(self, read_at: ReadAt, file_bytes: int, meter: Meter) -> None:
        """Find the directory and check its entries; raise `CorruptArchive` or `ArchiveTooLarge`."""
        self._read_at, self._meter = read_at, meter
        self._end = _find_end(read_at, file_bytes)
        declared = self._end.low_count if self._end.exact_count is None else self._end.exact_count
        if max(declared, self._end.size // _ENTRY_BYTES) > meter.bounds.members:
            raise meter.too_many(declared)
        self._starts = self._checked_starts()

    def entries(self) -> Iterator[Entry]:
        """Yield the entries in order."""
        at, last = self._end.start, self._end.start + self._end.size
        block, block_at = b"", at
        while at < last:
            if min(at + _MAX_ENTRY_BYTES, last) > block_at + len(block):
                block, block_at = self._read_at(at, min(_BLOCK_BYTES, last - at)), at
            entry, length = _parsed(block, at - block_at, self._end.shift)
            at += length
            if at > last:
                raise CorruptArchive("The directory of the zip is longer than it is said to be.")
            yield entry

    def room_after(self, at: int) -> int:
        """Return where what comes after the header at that place begins: another member, or the directory."""
        following = bisect_right(self._starts, at)
        return self._starts[following] if following < len(self._starts) else self._end.start

    def _checked_starts(self) -> "array[int]":
        """Return where members begin, in order; raise `CorruptArchive` if they overlap or are not as many as said."""
        spans, meter = [], self._meter
        for count, entry in enumerate(self.entries(), 1):
            if count > meter.bounds.members:
                raise meter.too_many(f"more than {meter.bounds.members}")
            meter.header()
            spans.append((entry.at, entry.at + LOCAL_HEADER.size + len(entry.name) + entry.packed_bytes))
        if self._end.low_count != len(spans) % 2**16 or self._end.exact_count not in (None, len(spans)):
            raise CorruptArchive(f"The zip has {len(spans)} members, and says that it has another number of them.")
        spans.sort()
        starts = array("Q", (start for start, _ in spans))
        ends, following = [end for _, end in spans], [*starts[1:], self._end.start]
        if any(end > start for end, start in zip(ends, following, strict=False)):
            raise CorruptArchive("Members of the zip overlap each other or its directory.")
        return starts


def _find_end(read_at: ReadAt, file_bytes: int) -> _End:
    """Find the record at the end of the zip, and that of zip64 if it has one."""
    tail_at = max(0, file_bytes - _FILLING_BYTES - _NONE_16 - _END.size)
    tail = read_at(tail_at, file_bytes - tail_at)
    filled_from = len(tail.rstrip(FILLING))
    found = tail.rfind(b"PK\x05\x06")
    while found >= 0:
        ends_at = found + _END.size
        if ends_at <= len(tail) and filled_from <= ends_at + _END.unpack_from(tail, found)[7] <= len(tail):
            break
        found = tail.rfind(b"PK\x05\x06", 0, found)
    else:
        raise CorruptArchive("This is not a zip, its end is missing, or something follows its end.")
    _, disk, first_disk, here, count, size, start, _ = _END.unpack_from(tail, found)
    end_at = tail_at + found
    wide = _find_end_64(read_at, end_at)
    if wide is None:
        _require_one_part(disk, first_disk, has_more=here != count)
        return _checked_end(None, count, size, start, end_at)
    wide_at, wide_count, wide_size, wide_start = wide
    given = ((count, wide_count, _NONE_16), (size, wide_size, _NONE_32), (start, wide_start, _NONE_32))
    if any(small not in (large, none) for small, large, none in given):
        raise CorruptArchive("The zip has two records at its end that contradict each other.")
    return _checked_end(wide_count, wide_count % 2**16, wide_size, wide_start, wide_at)


def _find_end_64(read_at: ReadAt, end_at: int) -> tuple[int, int, int, int] | None:
    """Return the place of the record of zip64, the count, and the size and start of the directory."""
    locator = read_at(end_at - _LOCATOR.size, _LOCATOR.size) if end_at >= _LOCATOR.size + _END_64.size else b""
    if not locator.startswith(b"PK\x06\x07"):
        return None
    at = end_at - _LOCATOR.size - _END_64.size
    record = read_at(at, _END_64.size)
    _, _, place, parts = _LOCATOR.unpack(locator)
    signature, length, _, _, disk, first_disk, here, count, size, start = _END_64.unpack(record)
    if signature != b"PK\x06\x06" or length != _END_64.size - 12:
        raise CorruptArchive("The zip64 record of the zip is missing or damaged.")
    _require_one_part(disk, first_disk, has_more=here != count or parts > 1)
    if at - place != at - size - start:  # by how much all places are shifted
        raise CorruptArchive("The zip64 record of the zip is not where it is said to be.")
    return at, count, size, start


def _require_one_part(disk: int, first_disk: int, *, has_more: bool) -> None:
    if disk not in (0, _NONE_16) or first_disk not in (0, _NONE_16) or has_more:
        raise CorruptArchive("The zip is one part of several; send it as one file.")


def _checked_end(exact_count: int | None, low_count: int, size: int, start: int, end_at: int) -> _End:
    shift = end_at - size - start
    if shift < 0:
        raise CorruptArchive("The directory of the zip is not where it is said to be.")
    return _End(exact_count, low_count, start + shift, size, shift)


def _parsed(block: bytes, at: int, shift: int) -> tuple[Entry, int]:
    """Read the entry at a place in a block; return it and its length."""
    if len(block) - at < _ENTRY.size or block[at : at + 4] != b"PK\x01\x02":
        raise CorruptArchive("The directory of the zip is damaged.")
    fields = _ENTRY.unpack_from(block, at)
    if fields[3] > _MAX_VERSION:
        raise CorruptArchive(f"The archive is of a kind that is not supported: zip file version {fields[3] / 10}.")
    flags, method, crc, packed, size = fields[5], fields[6], fields[9], fields[10], fields[11]
    name_bytes, extra_bytes, comment_bytes, part = fields[12:16]
    mode, place = fields[17] >> 16, fields[18]
    name_at = at + _ENTRY.size
    name = block[name_at : name_at + name_bytes]
    extra = block[name_at + name_bytes : name_at + name_bytes + extra_bytes]
    size, packed, place = widened(extra, [size, packed, place])
    if part not in (0, _NONE_16):
        raise CorruptArchive("The zip is one part of several; send it as one file.")
    entry = Entry(name, extra, flags, method, crc, packed, size, mode, place + shift)
    return entry, _ENTRY.size + name_bytes + extra_bytes + comment_bytes


def widened(extra: bytes, numbers: list[int]) -> list[int]:
    """Return numbers of a header with those of zip64 in place of each that is too large; raise `CorruptArchive`."""
    wide = _zip64_field(extra)
    found = []
    for number in numbers:
        if number != _NONE_32:
            found.append(number)
            continue
        if wide is None or len(wide) < 8:
            raise CorruptArchive("A member of the zip has no zip64 sizes where it needs them.")
        found.append(int.from_bytes(wide[:8], "little"))
        wide = wide[8:]
    return found


def _zip64_field(extra: bytes) -> bytes | None:
    """Return the zip64 field among extra fields, which may end in fewer bytes than a field has."""
    found, at = None, 0
    for _ in range(_MAX_FIELDS):
        if at + 4 > len(extra):
            return found
        kind, size = struct.unpack_from("<HH", extra, at)
        at += 4 + size
        if at > len(extra):
            break
        if kind == _ZIP64:
            if found is not None:
                raise CorruptArchive("A member of the zip has its zip64 sizes twice.")
            found = extra[at - size : at]
    raise CorruptArchive("A member of the zip has damaged extra fields.")
