"""The members of a tar, read in order: ustar, and the long names of GNU tar and of pax.

Only what names a picture and finds the next header is read. Sources: POSIX.1-2017, pax; GNU tar's manual, "Basic Tar
Format".

Invariant: of an extension header at most a megabyte is in memory, and few follow each other.
"""

from collections.abc import Iterator
from typing import NamedTuple

from api.batches.archives.bounds import FILLING, Meter
from api.batches.archives.found import BLOCK_BYTES, Found, Member, read_picture, with_long_name
from api.batches.archives.selection import MAX_NAME_BYTES, Selection
from api.batches.archives.streams import PackedTar, PlainTar
from api.batches.member_names import decode_name, member_path
from shared.errors import ArchiveTooLarge, AtelierError, CorruptArchive

BLOCK = 512
#: Where a header has its magic number.
MAGIC_AT = 257
#: Types of headers: files, folders, what has no content, and what says more of the next member.
_REGULAR, _FOLDER, _EMPTY, _SPARSE = b"0\x007", b"5", b"123456", b"S"
_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL = b"L", b"K", b"xX", b"g"
_EXTENSIONS = _LONG_NAME + _LONG_LINK + _PAX + _PAX_GLOBAL
#: Largest extension header, in bytes; how many may precede one member, and the records that one of pax may have.
_EXTENSION_BYTES, _MAX_EXTENSIONS, _MAX_RECORDS = 2**20, 16, 256
#: Largest filling after the end of an archive, in bytes: tapes had records of that size.
_FILLING_BYTES = 2**20


class _Header(NamedTuple):
    name: bytes
    #: Of what follows it in the archive, in bytes.
    size: int
    kind: bytes
    #: Whether it is of a file with holes, or its map of holes continues in the next block.
    is_sparse: bool = False
    is_continued: bool = False


def members(tar: PackedTar | PlainTar, meter: Meter, chosen: Selection) -> Iterator[Found]:
    """Yield the members of a tar in order; raise `CorruptArchive` or `ArchiveTooLarge` where reading cannot go on."""
    while (header := _next_member(tar, meter)) is not None:
        number = meter.member()
        if len(header.name) > MAX_NAME_BYTES:
            _skip(tar, header.size)
            yield with_long_name(number, header.name)
            continue
        path = member_path(decode_name(header.name, chosen.encoding))
        if header.kind == _FOLDER and not path.endswith("/"):
            path += "/"
        chosen.look(path)  # only what comes later can be left out
        skipped = chosen.skipped(path)
        if skipped is not None:
            _skip(tar, header.size)
            yield skipped
        else:
            yield _member(tar, header, Member(number, path, b""), meter, chosen)
    _check_end(tar, meter)


def is_header(block: bytes) -> bool:
    """Return whether a block can begin a tar."""
    try:
        return len(block) == BLOCK and _parsed(block) is not None
    except CorruptArchive:
        return False


def _member(tar: PackedTar | PlainTar, header: _Header, member: Member, meter: Meter, chosen: Selection) -> Member:
    """Read a member that has its path for a name so far, to the next header."""
    data: bytes | AtelierError
    try:
        key = chosen.key(member.name, is_regular=header.kind in _REGULAR and not header.is_sparse)
    except AtelierError as error:
        _skip(tar, header.size)
        return member._replace(data=error)
    counted = _Counted(tar)
    data = read_picture(counted, header.size, meter)
    _skip(tar, header.size, counted.taken)
    return member._replace(name=key, data=data)


class _Counted:
    """A tar that counts what was read of it."""

    def __init__(self, tar: PackedTar | PlainTar) -> None:
        self._tar, self.taken = tar, 0

    def read(self, size: int) -> bytes:
        data = self._tar.read(size)
        if not data:
            raise CorruptArchive("The archive is truncated.")
        self.taken += len(data)
        return data


def _skip(tar: PackedTar | PlainTar, size: int, taken: int = 0) -> None:
    """Pass over the rest of a member, of which some bytes were taken, and over what fills up its last block."""
    if size:
        tar.skip(size + -size % BLOCK - taken)


def _next_member(tar: PackedTar | PlainTar, meter: Meter) -> _Header | None:
    """Read to the next header of a member, with what extensions say of it; None at the end of the archive."""
    name: bytes | None = None
    pax: dict[bytes, bytes] = {}
    for _ in range(_MAX_EXTENSIONS + 1):
        header = _parsed(_block(tar, meter))
        if header is None or header.kind not in _EXTENSIONS:
            return _extended(tar, meter, header, pax.get(b"path", name), pax)
        if header.size > _EXTENSION_BYTES:
            raise ArchiveTooLarge(f"A header of the archive has {header.size} bytes.", max_bytes=_EXTENSION_BYTES)
        data = _exactly(tar, header.size + -header.size % BLOCK, meter)[: header.size]
        if header.kind == _LONG_NAME:
            name = data.partition(b"\0")[0]
        elif header.kind in _PAX:
            pax = _pax_records(data)
    raise CorruptArchive("The archive has header after header without a file.")


def _extended(
    tar: PackedTar | PlainTar, meter: Meter, header: _Header | None, name: bytes | None, pax: dict[bytes, bytes]
) -> _Header | None:
    if header is None:
        if name is not None or pax:
            raise CorruptArchive("The archive ends after the header of a file.")
        return None
    if header.is_sparse and header.is_continued:
        while _block(tar, meter)[504]:
            pass
    size = _decimal(pax[b"size"]) if b"size" in pax else header.size
    meter.claimed(size)
    is_sparse = header.is_sparse or (bool(pax) and any(key.startswith(b"GNU.sparse.") for key in pax))
    return _Header(
        header.name if name is None else name, 0 if header.kind in _EMPTY else size, header.kind, is_sparse=is_sparse
    )


def _parsed(block: bytes) -> _Header | None:
    """Read a header; None for the block of zeros that ends an archive. Raises `CorruptArchive`."""
    given = block[148:156]
    total = sum(block) - sum(given) + 8 * 32
    if total == 8 * 32 and not any(given):
        return None
    if _number(given) != total and _number(given) != total - 256 * _count_signed(block[:148] + block[156:]):
        raise CorruptArchive("A header of the archive is damaged.")
    kind, name, prefix = block[156:157], block[:100].partition(b"\0")[0], block[345:500].partition(b"\0")[0]
    if kind == _SPARSE:
        return _Header(name, _number(block[124:136]), kind, is_sparse=True, is_continued=bool(block[482]))
    if prefix and block[MAGIC_AT:].startswith(b"ustar\0"):  # GNU's own format has other fields there
        name = prefix + b"/" + name
    if kind in b"\0" and name.endswith(b"/"):  # a folder, before there was a type for it
        kind = _FOLDER
    return _Header(name, _number(block[124:136]), kind)


def _count_signed(data: bytes) -> int:
    """Count the bytes that old programs took for negative numbers."""
    return sum(byte > 127 for byte in data)


def _number(field: bytes) -> int:
    """Read an octal number, or a binary one as GNU tar writes those that are too long; raise `CorruptArchive`."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big") - (0x80 << 8 * (len(field) - 1))
        if field[0] != 0x80 or value < 0:
            raise CorruptArchive("A header of the archive has a negative number.")
        return value
    digits = field.partition(b"\0")[0].strip()
    if digits.strip(b"01234567"):
        raise CorruptArchive("A header of the archive is damaged.")
    return int(digits or b"0", 8)


def _pax_records(data: bytes) -> dict[bytes, bytes]:
    """Read the records of an extension header: each its own length, a space, and `key=value` with a line feed."""
    found: dict[bytes, bytes] = {}
    at = 0
    for _ in range(_MAX_RECORDS):
        if at == len(data):
            return found
        digits, _space, _rest = data[at : at + 8].partition(b" ")
        end = at + _decimal(digits)
        key, is_record, value = data[at + len(digits) + 1 : end - 1].partition(b"=")
        if not is_record or data[end - 1 : end] != b"\n":
            raise CorruptArchive("A header of the archive is damaged.")
        found[key] = value
        at = end
    raise ArchiveTooLarge(f"A header of the archive has more than {_MAX_RECORDS} records.")


def _decimal(digits: bytes) -> int:
    if not digits.isdigit() or len(digits) > 20:
        raise CorruptArchive("A header of the archive is damaged.")
    return int(digits)


def _block(tar: PackedTar | PlainTar, meter: Meter) -> bytes:
    meter.header()
    return _exactly(tar, BLOCK, meter)


def _exactly(tar: PackedTar | PlainTar, size: int, meter: Meter) -> bytes:
    """Read that many bytes; raise `CorruptArchive` if there are fewer."""
    data = b""
    while len(data) < size:
        piece = tar.read(size - len(data))
        if not piece:
            raise CorruptArchive("The archive is truncated.")
        meter.unpacked(len(piece))
        data = data + piece if data else piece
    return data


def _check_end(tar: PackedTar | PlainTar, meter: Meter) -> None:
    """Read what fills up the archive after its end; raise `CorruptArchive` if it is anything else."""
    size = 0
    while piece := tar.read(BLOCK_BYTES):
        meter.unpacked(len(piece))
        size += len(piece)
        if size > _FILLING_BYTES or piece.strip(FILLING):
            raise CorruptArchive("The archive continues after its end.")
