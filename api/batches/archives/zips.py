"""The members of a zip, read one after another as its directory lists them.

Each member's own header must agree with the directory, and its content with both. Source: APPNOTE.TXT 6.3.10.

Invariant: no byte of the file is unpacked for two members.
"""

import bz2
import lzma
import os
import zlib
from collections.abc import Callable, Iterator
from typing import IO

from api.batches.archives.bounds import Meter
from api.batches.archives.found import Found, Member, Stream, read_picture, with_long_name
from api.batches.archives.selection import MAX_NAME_BYTES, Selection
from api.batches.archives.streams import DAMAGED, MAX_DICTIONARY_BYTES, Inflater, PackedStream
from api.batches.archives.zip_directory import LOCAL_HEADER, Directory, Entry, widened
from api.batches.member_names import ZIP_ENCODING, decode_name, member_path, unicode_path
from shared.errors import ArchiveTooLarge, AtelierError, CorruptArchive, UnsupportedImage

#: The compression methods that are read, and the names of others. Source: section 4.4.5.
_STORED, _DEFLATED, _BZIP2, _LZMA = 0, 8, 12, 14
_METHODS = {
    1: "Shrink", 2: "Reduce", 3: "Reduce", 4: "Reduce", 5: "Reduce", 6: "Implode", 9: "Deflate64", 10: "PKWARE Implode",
    16: "IBM CMPSC", 18: "IBM TERSE", 19: "IBM LZ77", 20: "Zstandard", 93: "Zstandard", 94: "MP3", 95: "XZ", 96: "JPEG",
    97: "WavPack", 98: "PPMd", 99: "AES",
}  # fmt: skip
#: Flags of a member. Source: section 4.4.4.
_IS_ENCRYPTED, _IS_DESCRIBED_AFTER, _IS_PATCH, _IS_UTF8 = 1 | 1 << 6 | 1 << 13, 1 << 3, 1 << 5, 1 << 11
#: The bits of a member's mode that hold its file type, and the values of regular files.
_FILE_TYPE, _REGULAR = 0o170000, (0, 0o100000)


def members(file: IO[bytes], file_bytes: int, meter: Meter, chosen: Selection) -> Iterator[Found]:
    """Yield the members of a zip in order; raise `CorruptArchive` or `ArchiveTooLarge` before the first."""
    descriptor = file.fileno()

    def read_at(at: int, size: int) -> bytes:
        return os.pread(descriptor, size, at)

    directory = Directory(read_at, file_bytes, meter)
    for entry in directory.entries():
        if len(entry.name) <= MAX_NAME_BYTES:
            chosen.look(_path(entry, chosen.encoding))
    for entry in directory.entries():
        number = meter.member()
        if len(entry.name) > MAX_NAME_BYTES:
            yield with_long_name(number, entry.name)
            continue
        path = _path(entry, chosen.encoding)
        skipped = chosen.skipped(path)
        if skipped is not None:
            yield skipped
            continue
        try:
            key = chosen.key(path, is_regular=entry.mode & _FILE_TYPE in _REGULAR)
        except AtelierError as error:
            yield Member(number, path, error)
            continue
        yield Member(number, key, _content(_Section(descriptor, entry, directory), entry, meter))


def _path(entry: Entry, encoding: str | None) -> str:
    raw = entry.name
    if entry.flags & _IS_UTF8:
        try:
            return member_path(raw.decode())
        except UnicodeDecodeError:
            raise CorruptArchive("A name in the zip is not UTF-8, and said to be.") from None
    return member_path(unicode_path(entry.extra, raw) or decode_name(raw, encoding or ZIP_ENCODING))


def _content(section: "_Section", entry: Entry, meter: Meter) -> bytes | AtelierError:
    """Read a member; return why it is refused, if it is: the others may be intact."""
    try:
        _check_packing(entry)
        section.open()
        stream = _Whole(_unpacked(section, entry), entry.crc)
        data = read_picture(stream, entry.size, meter)
        if not isinstance(data, AtelierError):
            stream.require_end(section)
        return data
    except ArchiveTooLarge:
        raise
    except (CorruptArchive, UnsupportedImage) as error:
        return error
    except DAMAGED:
        return CorruptArchive("This file in the archive is damaged.")


def _check_packing(entry: Entry) -> None:
    if entry.flags & _IS_ENCRYPTED:
        raise UnsupportedImage("The file is encrypted.")
    if entry.flags & _IS_PATCH or entry.method not in (_STORED, _DEFLATED, _BZIP2, _LZMA):
        name = _METHODS.get(entry.method, "an unknown method")
        raise CorruptArchive(f"The file is compressed by {name} ({entry.method}), which is not supported; use Deflate.")


def _unpacked(section: "_Section", entry: Entry) -> Stream:
    """Return the unpacked content of a member."""
    if entry.method == _STORED:
        if entry.packed_bytes != entry.size:
            raise CorruptArchive("This file in the archive is stored as it is, and said to have two sizes.")
        return section
    if entry.method == _DEFLATED:
        return PackedStream(section.read, Inflater(-15))
    if entry.method == _BZIP2:
        return PackedStream(section.read, bz2.BZ2Decompressor())
    return PackedStream(section.read, _lzma(section.read), ends_by_itself=False)


def _lzma(read: Callable[[int], bytes]) -> lzma.LZMADecompressor:
    """Start to unpack LZMA, whose properties come first. Source: section 5.8.8."""
    head = read(9)
    if len(head) < 9 or head[2:4] != b"\5\0" or head[4] >= 9 * 5 * 5:
        raise CorruptArchive("This file in the archive has damaged LZMA properties.")
    dictionary_bytes = int.from_bytes(head[5:9], "little")
    if dictionary_bytes > MAX_DICTIONARY_BYTES:
        raise CorruptArchive(
            f"The file needs a dictionary of {dictionary_bytes} bytes; at most {MAX_DICTIONARY_BYTES} are allowed."
        )
    rest, lc = divmod(head[4], 9)
    pb, lp = divmod(rest, 5)
    filters = [
        {
            "id": lzma.FILTER_LZMA1,
            "dict_size": max(4096, dictionary_bytes),
            "lc": lc,
            "lp": lp,
            "pb": pb,
        }
    ]
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters)


class _Section:
    """The bytes of a member, as they are in the file."""

    def __init__(self, descriptor: int, entry: Entry, directory: Directory) -> None:
        self._descriptor, self._entry, self._directory = descriptor, entry, directory
        self._at, self.left = entry.at, 0

    def open(self) -> None:
        """Compare the member's own header with the directory; raise `CorruptArchive` where they disagree."""
        entry = self._entry
        header = os.pread(self._descriptor, LOCAL_HEADER.size, entry.at)
        if len(header) != LOCAL_HEADER.size or not header.startswith(b"PK\x03\x04"):
            raise CorruptArchive("This file in the archive is not where it is said to be.")
        _, _, flags, method, _, _, crc, packed, size, name_bytes, extra_bytes = LOCAL_HEADER.unpack(header)
        rest = os.pread(self._descriptor, name_bytes + extra_bytes, entry.at + LOCAL_HEADER.size)
        self._at += LOCAL_HEADER.size + len(rest)
        is_same = (rest[:name_bytes], method) == (entry.name, entry.method)
        if (
            not is_same
            or (flags ^ entry.flags) & _IS_ENCRYPTED
            or not _agrees(entry, flags, rest[name_bytes:], [size, packed, crc])
        ):
            raise CorruptArchive("This file in the archive has a header that contradicts the directory.")
        if self._at + entry.packed_bytes > self._directory.room_after(entry.at):
            raise CorruptArchive("This file in the archive overlaps another.")
        self.left = entry.packed_bytes

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes, none at the end."""
        data = os.pread(self._descriptor, min(size, self.left), self._at)
        self._at += len(data)
        self.left -= len(data)
        return data


def _agrees(entry: Entry, flags: int, extra: bytes, given: list[int]) -> bool:
    """Return whether a member's own header gives the sizes and the checksum of the directory, or leaves them open."""
    known = [entry.size, entry.packed_bytes, entry.crc]
    if flags & _IS_DESCRIBED_AFTER:
        return all(number in (0, 0xFFFFFFFF, right) for number, right in zip(given, known, strict=True))
    return [*widened(extra, given[:2]), given[2]] == known


class _Whole:
    """The unpacked content of a member, whose checksum is computed as it is read."""

    def __init__(self, stream: Stream, crc: int) -> None:
        self._stream, self._expected, self._crc = stream, crc, 0

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._crc = zlib.crc32(data, self._crc)
        return data

    def require_end(self, section: _Section) -> None:
        """Raise `CorruptArchive` unless this is all, and undamaged."""
        if self._stream.read(1) or section.left or getattr(self._stream, "rest", b""):
            raise CorruptArchive("This file in the archive is longer than it is said to be.")
        if self._crc != self._expected:
            raise CorruptArchive("This file in the archive is damaged: its checksum differs.")
