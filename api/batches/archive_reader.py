"""The members of zips and tars from untrusted clients, one at a time, each within its bound.

A zip is read from its end, so it is first copied to an anonymous temporary file; a tar is read as it arrives. No name
in an archive becomes a path on our disk: names become item keys (`member_names`), which are validated like any other.
Which members are taken, `selection` says.

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

from api.batches.member_names import ZIP_ENCODING, decode_name, member_path, state_folders, unicode_path
from api.batches.selection import Selection, Skipped
from shared.errors import (
    ArchiveTooLarge,
    AtelierError,
    CorruptArchive,
    ImageTooLarge,
    UnsupportedImage,
)

ZIP = ("application/zip", "application/x-zip-compressed")
TAR = ("application/x-tar", "application/gzip", "application/x-gzip", "application/x-xz", "application/x-bzip2")

_BLOCK_BYTES = 2**18
#: Largest size of a zip's directory, in bytes per member.
_ENTRY_BYTES = 2**10
#: The compression methods of zips that are read, and the names of others. Source: APPNOTE, section 4.4.5.
_READ_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA})
_METHODS = {
    1: "Shrink", 2: "Reduce", 3: "Reduce", 4: "Reduce", 5: "Reduce", 6: "Implode", 9: "Deflate64", 10: "PKWARE Implode",
    16: "IBM CMPSC", 18: "IBM TERSE", 19: "IBM LZ77", 20: "Zstandard", 93: "Zstandard", 94: "MP3", 95: "XZ", 96: "JPEG",
    97: "WavPack", 98: "PPMd", 99: "AES",
}  # fmt: skip
#: How archives of kinds that are not read begin; how packed tars do, and where others have their magic number.
_OTHER_KINDS = {b"7z\xbc\xaf\x27\x1c": "7z", b"Rar!\x1a\x07": "RAR", b"\x28\xb5\x2f\xfd": "Zstandard"}
_TAR_PACKINGS, _TAR_MAGIC_AT = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ"), 257
#: What the libraries raise for damaged archives.
_BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError,
           RuntimeError, OverflowError, UnicodeError)  # fmt: skip
#: The bits of a zip member's mode that hold its file type, and the values of regular files.
_FILE_TYPE, _REGULAR = 0o170000, (0, 0o100000)
#: Flags of a zip's member. Source: APPNOTE, section 4.4.4.
_IS_ENCRYPTED, _IS_UTF8 = 1, 0x800


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
    #: As a key, or as it is in the archive where it cannot be one.
    name: str
    data: bytes | AtelierError


Found = Member | Skipped


def members(stream: IO[bytes], media_type: str, bounds: Bounds, *, name_encoding: str | None = None) -> Iterator[Found]:
    """Yield the members of an archive in order.

    It is told by its first bytes, or else by its media type, "" if that is unknown. Names are UTF-8, or else in
    `name_encoding`; by default cp437 in a zip, and of no known encoding in a tar.

    Raises `ArchiveTooLarge` as soon as a bound is passed, and `CorruptArchive` where reading cannot continue; members
    already yielded are complete.
    """
    bounded = _BoundedStream(stream, bounds.total)
    chosen = Selection(name_encoding)
    found = _zip(bounded, bounds, chosen) if _is_zip(bounded.start(), media_type) else _tar(bounded, bounds, chosen)
    try:
        yield from found
    except AtelierError:
        raise
    except NotImplementedError as error:  # a RuntimeError, and of the whole archive
        raise CorruptArchive(f"The archive is of a kind that is not supported: {error}.") from error
    except _BROKEN as error:
        raise CorruptArchive(f"The archive is damaged: {type(error).__name__}.") from error


def _is_zip(start: bytes, media_type: str) -> bool:
    """Return whether an archive is a zip rather than a tar, by its first bytes, or else by its media type.

    Raises `CorruptArchive` for another kind.
    """
    other = next((name for signature, name in _OTHER_KINDS.items() if start.startswith(signature)), None)
    if other is not None:
        raise CorruptArchive(f"{other} archives are not supported; send a zip or a tar.")
    if start.startswith(b"PK"):
        return True
    is_tar = start[_TAR_MAGIC_AT:].startswith(b"ustar") or start.startswith(_TAR_PACKINGS)
    return media_type in ZIP and not is_tar


class _BoundedStream:
    """A stream that raises `ArchiveTooLarge` once more than `max_bytes` have been read."""

    def __init__(self, stream: IO[bytes], max_bytes: int) -> None:
        self._stream, self._left, self._max_bytes = stream, max_bytes, max_bytes
        self._ahead = b""

    def start(self) -> bytes:
        """Return the first bytes, which are still to be read: a block of a tar, or fewer of a shorter stream."""
        while len(self._ahead) < tarfile.BLOCKSIZE and (more := self._receive(tarfile.BLOCKSIZE - len(self._ahead))):
            self._ahead += more
        return self._ahead

    def read(self, size: int = _BLOCK_BYTES) -> bytes:
        ahead, self._ahead = self._ahead, b""
        return ahead or self._receive(size)

    def _receive(self, size: int) -> bytes:
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


def _zip(stream: _BoundedStream, bounds: Bounds, chosen: Selection) -> Iterator[Found]:
    with tempfile.TemporaryFile() as copy:
        while block := stream.read():
            copy.write(block)
        _check_directory(copy, bounds)
        with zipfile.ZipFile(copy) as archive:
            unpacker, infos = _Unpacker(bounds), archive.infolist()
            chosen.state_folders = state_folders(_zip_path(info, chosen.encoding) for info in infos)
            for number, info in enumerate(infos, 1):
                path = _zip_path(info, chosen.encoding)
                yield chosen.skipped(path) or _zip_member(archive, info, Member(number, path, b""), unpacker, chosen)


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


def _zip_path(info: zipfile.ZipInfo, encoding: str | None) -> str:
    name = info.orig_filename  # `filename` is cut at a NUL
    if not info.flag_bits & _IS_UTF8:
        raw = name.encode(ZIP_ENCODING)  # the library has decoded every byte by it
        name = unicode_path(info.extra, raw) or decode_name(raw, encoding or ZIP_ENCODING)
    return member_path(name)


def _zip_member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, member: Member, unpacker: _Unpacker, chosen: Selection
) -> Member:
    """Read a member that has its path for a name so far."""
    try:
        key = chosen.key(member.name, is_regular=(info.external_attr >> 16) & _FILE_TYPE in _REGULAR)
        member = member._replace(name=key)
        _check_packing(info)
    except AtelierError as error:
        return member._replace(data=error)
    try:
        with archive.open(info) as file:
            return member._replace(data=unpacker.read(file))
    except AtelierError:
        raise
    except _BROKEN as error:  # the other members may be intact
        return member._replace(data=CorruptArchive(f"This file in the archive is damaged: {type(error).__name__}."))


def _check_packing(info: zipfile.ZipInfo) -> None:
    if info.flag_bits & _IS_ENCRYPTED:
        raise UnsupportedImage("The file is encrypted.")
    if info.compress_type not in _READ_METHODS:
        name = _METHODS.get(info.compress_type, "an unknown method")
        raise CorruptArchive(
            f"The file is compressed by {name} ({info.compress_type}), which is not supported; use Deflate."
        )


def _tar(stream: _BoundedStream, bounds: Bounds, chosen: Selection) -> Iterator[Found]:
    unpacker, number = _Unpacker(bounds), 0
    with tarfile.open(fileobj=stream, mode="r|*", bufsize=_BLOCK_BYTES, tarinfo=_Header) as archive:  # type: ignore[call-overload]
        for info in archive:
            number += 1
            if number > bounds.members:
                raise ArchiveTooLarge(f"The archive has more than {bounds.members} members.")
            archive.members = []  # the library keeps every header here
            path = member_path(decode_name(info.name.encode(errors="surrogateescape"), chosen.encoding))
            chosen.state_folders |= state_folders([path])  # of which only what comes later can be left out
            skipped = chosen.skipped(f"{path}/" if info.isdir() else path)
            if skipped is not None:
                unpacker.count(info.size)
                yield skipped
                continue
            try:
                key = chosen.key(path, is_regular=info.isreg() and not info.issparse())
            except AtelierError as error:
                unpacker.count(info.size)
                yield Member(number, path, error)
                continue
            file = archive.extractfile(info)
            assert file is not None
            data = unpacker.read(file)
            if isinstance(data, AtelierError):
                unpacker.count(max(0, info.size - bounds.member))  # the rest is skipped, but unpacked all the same
            yield Member(number, key, data)


def _too_large(limit: int, how: str = "") -> ArchiveTooLarge:
    return ArchiveTooLarge(f"The archive has more than {limit} bytes{how}.", max_bytes=limit)
