"""The members of zips and tars from untrusted clients, one at a time, each within its bound.

A zip is read from its end, so it is first copied to an anonymous temporary file; a tar is read as it arrives. No name
in an archive becomes a path on our disk: names become item keys, which are validated like any other.

Invariant: reading stops within one block of the bound on bytes received and on bytes unpacked, whatever the headers
claim; no member takes more memory than an upload may.
"""

import lzma
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, NamedTuple, Self

from shared.errors import (
    ArchiveTooLarge,
    AtelierError,
    CorruptArchive,
    DuplicateKey,
    ImageTooLarge,
    UnsafePath,
    UnsupportedImage,
)

ZIP = ("application/zip", "application/x-zip-compressed")
TAR = ("application/x-tar", "application/gzip", "application/x-gzip", "application/x-xz", "application/x-bzip2")

_BLOCK_BYTES = 2**18
#: Largest size of a zip's directory, in bytes per member.
_ENTRY_BYTES = 2**10
#: Files that operating systems add to archives, by the last part of their name.
_JUNK = {".ds_store", "thumbs.db", "desktop.ini", ".directory"}
#: What the libraries raise for damaged archives.
_BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, OSError,
           ValueError, RuntimeError, OverflowError, UnicodeError)  # fmt: skip
#: The bits of a zip member's mode that hold its file type, and the values of regular files.
_FILE_TYPE, _REGULAR = 0o170000, (0, 0o100000)


class Bounds(NamedTuple):
    """The largest archive to read."""

    #: Bytes of the archive, and also of all its members together, unpacked.
    total: int
    #: Bytes of one member, unpacked.
    member: int
    members: int


class Member(NamedTuple):
    """A file in an archive: its content, or why it was refused."""

    #: Its position, from 1; skipped files count.
    number: int
    name: str
    data: bytes | AtelierError


class Skipped(NamedTuple):
    """A folder, or a file that an operating system added."""

    name: str


def members(stream: IO[bytes], media_type: str, bounds: Bounds) -> Iterator[Member | Skipped]:
    """Yield the members of an archive in order.

    Raises `ArchiveTooLarge` as soon as a bound is passed, and `CorruptArchive` where reading cannot continue; members
    already yielded are complete.
    """
    bounded = _BoundedStream(stream, bounds.total)
    found = _zip(bounded, bounds) if media_type in ZIP else _tar(bounded, bounds)
    try:
        yield from found
    except AtelierError:
        raise
    except _BROKEN as error:
        raise CorruptArchive(f"The archive is damaged: {type(error).__name__}.") from error


def detect_media_type(file: IO[bytes]) -> str:
    """Return the media type of an archive from its first bytes, and rewind it."""
    start = file.read(4)
    file.seek(0)
    return ZIP[0] if start.startswith(b"PK") else TAR[0]


class _BoundedStream:
    """A stream that raises `ArchiveTooLarge` once more than `max_bytes` have been read."""

    def __init__(self, stream: IO[bytes], max_bytes: int) -> None:
        self._stream, self._left, self._max_bytes = stream, max_bytes, max_bytes

    def read(self, size: int = _BLOCK_BYTES) -> bytes:
        data = self._stream.read(min(size if size >= 0 else _BLOCK_BYTES, self._left + 1))
        self._left -= len(data)
        if self._left < 0:
            raise _too_large(self._max_bytes)
        return data


class _Unpacker:
    """Reads members, and bounds the bytes unpacked from all of them together."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds, self._left = bounds, bounds.total

    def read(self, file: IO[bytes]) -> bytes | AtelierError:
        """Read a member, or return the error of one that is too large; raise `ArchiveTooLarge`."""
        pieces, size = [], 0
        while piece := file.read(_BLOCK_BYTES):
            size += len(piece)
            self.count(len(piece))
            if size > self._bounds.member:
                limit = self._bounds.member
                return ImageTooLarge(f"The file has more than {limit} bytes unpacked.", max_bytes=limit)
            pieces.append(piece)
        return b"".join(pieces)

    def count(self, size: int) -> None:
        """Count unpacked bytes, whether read or skipped; raise `ArchiveTooLarge`."""
        self._left -= size
        if self._left < 0:
            raise _too_large(self._bounds.total, " unpacked")


class _Header(tarfile.TarInfo):
    """A header that must be complete: the library takes a truncated tar for one that ends."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        if len(buf) != tarfile.BLOCKSIZE:
            raise CorruptArchive("The archive is truncated.")
        return super().frombuf(buf, encoding, errors)


def _zip(stream: _BoundedStream, bounds: Bounds) -> Iterator[Member | Skipped]:
    with tempfile.TemporaryFile() as copy:
        while block := stream.read():
            copy.write(block)
        _check_directory(copy, bounds)
        with zipfile.ZipFile(copy) as archive:
            unpacker, seen = _Unpacker(bounds), set[str]()
            for number, info in enumerate(archive.infolist(), 1):
                yield _zip_member(archive, info, number, unpacker, seen)


def _check_directory(file: IO[bytes], bounds: Bounds) -> None:
    """Check the size of a zip's directory before the library loads it. Source: APPNOTE, sections 4.3.14 to 4.3.16."""
    size = file.seek(0, 2)
    file.seek(max(0, size - 2**16 - 22))
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < 22:
        raise CorruptArchive("This is not a zip, or its end is missing.")
    count, directory = struct.unpack_from("<HI", tail, at + 10)
    locator = tail[at - 20 : at] if at >= 20 else b""
    if locator.startswith(b"PK\x06\x07"):
        file.seek(struct.unpack_from("<Q", locator, 8)[0])
        record = file.read(56)
        if len(record) == 56:
            count, directory = struct.unpack_from("<QQ", record, 32)
    if count > bounds.members or directory > bounds.members * _ENTRY_BYTES:
        raise ArchiveTooLarge(f"The archive has {count} members; at most {bounds.members} are allowed.")


def _zip_member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, number: int, unpacker: _Unpacker, seen: set[str]
) -> Member | Skipped:
    name = info.orig_filename  # `filename` is cut at a NUL
    if name.endswith("/") or _is_junk(name):
        return Skipped(name)
    refusal = _refusal(name, seen, is_regular=(info.external_attr >> 16) & _FILE_TYPE in _REGULAR)
    if refusal is None and info.flag_bits & 1:
        refusal = UnsupportedImage("The file is encrypted.")
    if refusal is not None:
        return Member(number, name, refusal)
    try:
        with archive.open(info) as file:
            return Member(number, name, unpacker.read(file))
    except AtelierError:
        raise
    except _BROKEN as error:  # the other members may be intact
        return Member(number, name, CorruptArchive(f"This file in the archive is damaged: {type(error).__name__}."))


def _tar(stream: _BoundedStream, bounds: Bounds) -> Iterator[Member | Skipped]:
    unpacker, seen, number = _Unpacker(bounds), set[str](), 0
    with tarfile.open(fileobj=stream, mode="r|*", bufsize=_BLOCK_BYTES, tarinfo=_Header) as archive:  # type: ignore[call-overload]
        for info in archive:
            number += 1
            if number > bounds.members:
                raise ArchiveTooLarge(f"The archive has more than {bounds.members} members.")
            archive.members = []  # the library keeps every header here
            if info.isdir() or _is_junk(info.name):
                unpacker.count(info.size)
                yield Skipped(info.name)
                continue
            refusal = _refusal(info.name, seen, is_regular=info.isreg() and not info.issparse())
            if refusal is not None:
                unpacker.count(info.size)
                yield Member(number, info.name, refusal)
                continue
            file = archive.extractfile(info)
            assert file is not None
            data = unpacker.read(file)
            if isinstance(data, AtelierError):
                unpacker.count(max(0, info.size - bounds.member))  # the rest is skipped, but unpacked all the same
            yield Member(number, info.name, data)


def _refusal(name: str, seen: set[str], *, is_regular: bool) -> AtelierError | None:
    if not is_regular:
        return UnsafePath("Links and devices are not accepted.")
    if "\\" in name or "\0" in name:
        return UnsafePath("A file name must separate folders with / and contain no NUL.")
    if name in seen:
        return DuplicateKey(f"The archive has another file named {name}.")
    seen.add(name)
    if name.lower().endswith((".zip", ".tar", ".tgz", ".gz", ".xz", ".bz2", ".7z", ".rar")):
        return UnsupportedImage("Archives within archives are not accepted.")
    return None


def _is_junk(name: str) -> bool:
    parts = name.split("/")
    return "__MACOSX" in parts or parts[-1].lower() in _JUNK or parts[-1].startswith("._")


def _too_large(limit: int, how: str = "") -> ArchiveTooLarge:
    return ArchiveTooLarge(f"The archive has more than {limit} bytes{how}.", max_bytes=limit)
