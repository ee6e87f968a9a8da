"""Pictures out of zips and tars that strangers send, member by member, each within its bound.

A zip is read from its end, so it is kept in one nameless file first; a tar is read as it comes. No name in an archive
is ever a path on our disk: names become keys of items, which are checked like any other.

Invariant: reading stops within a block of the bound on what comes in, and on what comes out unpacked, whatever the
headers say; no member is larger in memory than an upload may be.
"""

from __future__ import annotations

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
#: What a zip's directory may take for each member at most, in bytes.
_ENTRY_BYTES = 2**10
#: What archives hold besides what somebody put into them, by the last part of the name.
_JUNK = {".ds_store", "thumbs.db", "desktop.ini", ".directory"}
#: What damaged archives are met with.
_BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, OSError,
           ValueError, RuntimeError, OverflowError, UnicodeError)  # fmt: skip
#: Permission bits of a zip's member that say what kind of file it is, and the kinds that are pictures' files.
_KIND, _PLAIN = 0o170000, (0, 0o100000)


class Bounds(NamedTuple):
    """What an archive may be at most."""

    #: Bytes as it comes in; and of all members together, unpacked.
    total: int
    #: Bytes of one member, unpacked.
    member: int
    members: int


class Member(NamedTuple):
    """A file in an archive: what is in it, or why it is not read."""

    #: From 1, files that are skipped counted too.
    number: int
    name: str
    data: bytes | AtelierError


class Skipped(NamedTuple):
    """A folder, or what a system puts into archives by itself."""

    name: str


def members(stream: IO[bytes], media_type: str, bounds: Bounds) -> Iterator[Member | Skipped]:
    """Yield what is in an archive, in its order.

    Raises `ArchiveTooLarge` as soon as a bound is passed, and `CorruptArchive` for what cannot be read on; what was
    yielded before is whole.
    """
    counted = _Counted(stream, bounds.total)
    found = _zip(counted, bounds) if media_type in ZIP else _tar(counted, bounds)
    try:
        yield from found
    except AtelierError:
        raise
    except _BROKEN as error:
        raise CorruptArchive(f"The archive cannot be read on: {type(error).__name__}.") from error


def kind(file: IO[bytes]) -> str:
    """Tell what an archive is by its first bytes, which stay to be read."""
    start = file.read(4)
    file.seek(0)
    return ZIP[0] if start.startswith(b"PK") else TAR[0]


class _Counted:
    """A stream that refuses to bring more than it may."""

    def __init__(self, stream: IO[bytes], most: int) -> None:
        self._stream, self._left, self._most = stream, most, most

    def read(self, size: int = _BLOCK_BYTES) -> bytes:
        data = self._stream.read(min(size if size >= 0 else _BLOCK_BYTES, self._left + 1))
        self._left -= len(data)
        if self._left < 0:
            raise _too_large(self._most)
        return data


class _Unpacked:
    """How much has come out, of all members together."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds, self._left = bounds, bounds.total

    def read(self, file: IO[bytes]) -> bytes | AtelierError:
        """Read one member whole, or find that it is larger than one may be; raise `ArchiveTooLarge`."""
        pieces, size = [], 0
        while piece := file.read(_BLOCK_BYTES):
            size += len(piece)
            self.take(len(piece))
            if size > self._bounds.member:
                most = self._bounds.member
                return ImageTooLarge(f"The file has more than {most} bytes unpacked.", max_bytes=most)
            pieces.append(piece)
        return b"".join(pieces)

    def take(self, size: int) -> None:
        """Count bytes that come out, read or passed over."""
        self._left -= size
        if self._left < 0:
            raise _too_large(self._bounds.total, "unpacked ")


class _Header(tarfile.TarInfo):
    """A header that must be there: the library takes a tar that breaks off for one that ends."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        if len(buf) != tarfile.BLOCKSIZE:
            raise CorruptArchive("The archive breaks off.")
        return super().frombuf(buf, encoding, errors)


def _zip(stream: _Counted, bounds: Bounds) -> Iterator[Member | Skipped]:
    with tempfile.TemporaryFile() as kept:
        while block := stream.read():
            kept.write(block)
        _check_directory(kept, bounds)
        with zipfile.ZipFile(kept) as archive:
            unpacked, seen = _Unpacked(bounds), set[str]()
            for number, info in enumerate(archive.infolist(), 1):
                yield _zipped(archive, info, number, unpacked, seen)


def _check_directory(file: IO[bytes], bounds: Bounds) -> None:
    """Bound the directory of a zip before the library takes it into memory. Source: APPNOTE, sections 4.3.14 to 16."""
    size = file.seek(0, 2)
    file.seek(max(0, size - 2**16 - 22))
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < 22:
        raise CorruptArchive("This is no zip, or its end is missing.")
    count, directory = struct.unpack_from("<HI", tail, at + 10)
    locator = tail[at - 20 : at] if at >= 20 else b""
    if locator.startswith(b"PK\x06\x07"):
        file.seek(struct.unpack_from("<Q", locator, 8)[0])
        record = file.read(56)
        if len(record) == 56:
            count, directory = struct.unpack_from("<QQ", record, 32)
    if count > bounds.members or directory > bounds.members * _ENTRY_BYTES:
        raise ArchiveTooLarge(f"The archive has {count} members, and {bounds.members} may be.")


def _zipped(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, number: int, unpacked: _Unpacked, seen: set[str]
) -> Member | Skipped:
    # what came before a NUL is all that the library keeps of a name
    name = info.orig_filename
    if name.endswith("/") or _is_junk(name):
        return Skipped(name)
    refusal = _refusal(name, seen, is_plain=(info.external_attr >> 16) & _KIND in _PLAIN)
    if refusal is None and info.flag_bits & 1:
        refusal = UnsupportedImage("The file is encrypted.")
    if refusal is not None:
        return Member(number, name, refusal)
    try:
        with archive.open(info) as file:
            return Member(number, name, unpacked.read(file))
    except AtelierError:
        raise
    except _BROKEN as error:  # this member is broken, others may be whole
        return Member(number, name, CorruptArchive(f"This file of the archive is damaged: {type(error).__name__}."))


def _tar(stream: _Counted, bounds: Bounds) -> Iterator[Member | Skipped]:
    unpacked, seen, number = _Unpacked(bounds), set[str](), 0
    with tarfile.open(fileobj=stream, mode="r|*", bufsize=_BLOCK_BYTES, tarinfo=_Header) as archive:  # type: ignore[call-overload]
        for info in archive:
            number += 1
            if number > bounds.members:
                raise ArchiveTooLarge(f"The archive has more than {bounds.members} members.")
            archive.members = []  # or every header would be kept
            if info.isdir() or _is_junk(info.name):
                unpacked.take(info.size)
                yield Skipped(info.name)
                continue
            refusal = _refusal(info.name, seen, is_plain=info.isreg() and not info.issparse())
            if refusal is not None:
                unpacked.take(info.size)
                yield Member(number, info.name, refusal)
                continue
            file = archive.extractfile(info)
            assert file is not None
            data = unpacked.read(file)
            if isinstance(data, AtelierError):
                unpacked.take(max(0, info.size - bounds.member))  # the rest is passed over, unpacked all the same
            yield Member(number, info.name, data)


def _refusal(name: str, seen: set[str], *, is_plain: bool) -> AtelierError | None:
    if not is_plain:
        return UnsafePath("Links and devices are not read.")
    if "\\" in name or "\0" in name:
        return UnsafePath("Write names with / and without control characters.")
    if name in seen:
        return DuplicateKey(f"The archive has another file {name}.")
    seen.add(name)
    if name.lower().endswith((".zip", ".tar", ".tgz", ".gz", ".xz", ".bz2", ".7z", ".rar")):
        return UnsupportedImage("Archives within archives are not opened.")
    return None


def _is_junk(name: str) -> bool:
    parts = name.split("/")
    return "__MACOSX" in parts or parts[-1].lower() in _JUNK or parts[-1].startswith("._")


def _too_large(most: int, how: str = "") -> ArchiveTooLarge:
    return ArchiveTooLarge(f"The archive has more than {most} bytes {how}".rstrip() + ".", max_bytes=most)
