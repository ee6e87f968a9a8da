"""Zips that are to exhaust whoever reads them, under the default bounds: each with the codes that it may end in.

Nothing large is built: what unpacks to much is repeated, and what is claimed is written into headers.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import cache

from tests.hostile.archives import CORRUPT, LARGE, NOTHING, PNG, UPLOAD_BYTES, ZEROS, Crafted, zipped

ZIP = "application/zip"
_METHODS = {"deflate": zipfile.ZIP_DEFLATED, "bzip2": zipfile.ZIP_BZIP2, "lzma": zipfile.ZIP_LZMA}


def zip_bombs() -> Iterator[Crafted]:
    """Yield them all."""
    yield from _zip_ends()
    yield from _zip_entries()
    yield from _zip_headers()
    yield from _zip_contents()


class ZipParts:
    """A zip of one or more stored members, whose every field may be changed before it is put together."""

    def __init__(self, count: int = 1, name: bytes = b"%d.png", data: bytes = PNG) -> None:
        self.locals, self.entries, self.datas = [], [], []
        for number in range(count):
            named = name % number if b"%" in name else name
            crc, size = zlib.crc32(data), len(data)
            self.locals.append([b"PK\x03\x04", 20, 0, 0, 0, 0, crc, size, size, len(named), 0, named, b""])
            self.entries.append(
                [b"PK\x01\x02", 20, 20, 0, 0, 0, 0, crc, size, size, len(named), 0, 0, 0, 0, 0, None, named, b"", b""]
            )
            self.datas.append(data)
        self.end: dict[str, int] = {}
        self.before_end = self.after_end = self.comment = b""

    def made(self) -> bytes:
        body, places = b"", []
        for header, data in zip(self.locals, self.datas, strict=True):
            places.append(len(body))
            header[9], header[10] = len(header[11]), len(header[12])
            body += struct.pack("<4s5H3I2H", *header[:11]) + header[11] + header[12] + data
        start = len(body)
        for entry, place in zip(self.entries, places, strict=True):
            entry[10], entry[11], entry[12] = len(entry[17]), len(entry[18]), len(entry[19])
            at = place if entry[16] is None else entry[16]
            body += struct.pack("<4s6H3I5H2I", *entry[:16], at) + entry[17] + entry[18] + entry[19]
        count, size = self.end.get("count", len(self.entries)), self.end.get("size", len(body) - start)
        fields = (self.end.get("disk", 0), 0, count, count, size, self.end.get("start", start))
        end = b"PK\x05\x06" + struct.pack("<4H2IH", *fields, len(self.comment))
        return body + self.before_end + end + self.comment + self.after_end


def _changed(what: str, codes: set[str], change: Callable[[ZipParts], None], **parts: object) -> Crafted:
    made = ZipParts(**parts)  # type: ignore[arg-type]
    change(made)
    return Crafted(f"zip {what}", ZIP, made.made(), codes)


def _wide_end(parts: ZipParts, *, place: int = 0, **fields: int) -> None:
    """Give a zip the records of zip64 that its end calls for."""
    whole = parts.made()
    size, start = struct.unpack_from("<2I", whole, len(whole) - 22 + 12)
    count = fields.get("count", len(parts.entries))
    record = struct.pack(
        "<4sQ2H2I4Q",
        b"PK\x06\x06",
        44,
        45,
        45,
        0,
        0,
        count,
        count,
        fields.get("size", size),
        fields.get("start", start),
    )
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, place or start + size, 1)
    parts.before_end = record + locator
    parts.end = {"count": 0xFFFF, "size": 0xFFFFFFFF, "start": 0xFFFFFFFF}


def _zip_ends() -> Iterator[Crafted]:
    def put(**fields: int) -> Callable[[ZipParts], None]:
        return lambda parts: parts.end.update(fields)

    for count in (0, 1, 3, 99):
        yield _changed(f"of 2 that says {count}", CORRUPT, put(count=count), count=2)
    yield _changed("that says 65535", CORRUPT, put(count=0xFFFF))
    for what, fields in {
        "whose directory is larger than it": {"size": 2**31},
        "whose directory is shorter than it": {"size": 20},
        "whose directory is said to be empty": {"size": 0},
        "whose directory begins beyond its end": {"start": 2**31},
        "that is one part of several": {"disk": 7},
    }.items():
        yield _changed(what, CORRUPT, put(**fields))
    for what, fields, codes in (
        ("of zip64 with a count of 2**60", {"count": 2**60}, LARGE),
        ("of zip64 with another count", {"count": 5}, CORRUPT),
        ("of zip64 with a directory of 2**62 bytes", {"size": 2**62}, CORRUPT),
        ("of zip64 with a directory beyond its end", {"start": 2**62}, CORRUPT),
        ("of zip64 whose record is elsewhere", {"place": 3}, CORRUPT),
        ("of zip64 whose record is beyond its end", {"place": 2**63}, CORRUPT),
    ):
        yield _changed(what, codes, lambda parts, fields=fields: _wide_end(parts, **fields))  # type: ignore[misc]

    def contradict(parts: ZipParts) -> None:
        _wide_end(parts)
        parts.end |= {"count": 9}

    yield _changed("whose two records contradict each other", CORRUPT, contradict)
    yield _changed("followed by garbage", CORRUPT, lambda parts: setattr(parts, "after_end", b"garbage" * 9))
    yield _changed("followed by another directory's end", CORRUPT,
                   lambda parts: setattr(parts, "after_end", b"PK\x05\x06" + bytes(16) + b"\xff\xff"))  # fmt: skip
    yield _changed("whose comment is full of ends", NOTHING,
                   lambda parts: setattr(parts, "comment", b"PK\x05\x06" * 16_000))  # fmt: skip
    yield Crafted("zip of nothing but ends", ZIP, b"PK\x05\x06" * 200_000, CORRUPT)


def _zip_entries() -> Iterator[Crafted]:
    def entry(index: int, value: object, at: int = 1) -> Callable[[ZipParts], None]:
        return lambda parts: parts.entries[at].__setitem__(index, value)

    yield _changed("whose members are one another", CORRUPT, entry(16, 0), count=2)
    yield _changed("whose member is in the directory", CORRUPT, entry(16, 100), count=2)
    yield _changed("whose member is beyond its end", CORRUPT, entry(16, 2**31), count=2)
    yield _changed("whose member is as long as the rest", CORRUPT, entry(8, 2**20, 0), count=2)
    yield _changed("without the sizes of zip64", CORRUPT, entry(9, 0xFFFFFFFF), count=2)
    for what, extra in {
        "sizes of 2**63": struct.pack("<2H2Q", 1, 16, 2**63, 2**63),
        "its sizes of zip64 twice": struct.pack("<2HQ", 1, 8, 5) * 2,
        "extra fields that are too long": b"\1\0\xff\xff" + bytes(8),
    }.items():
        made = ZipParts(2)
        made.entries[1][8] = made.entries[1][9] = 0xFFFFFFFF
        made.entries[1][18] = extra
        yield Crafted(f"zip with {what}", ZIP, made.made(), CORRUPT)
    yield _changed("with a name that is not UTF-8", CORRUPT, lambda parts: parts.entries[0].__setitem__(3, 1 << 11) or
                   parts.entries[0].__setitem__(17, b"\xff\xfe.png"))  # fmt: skip
    yield Crafted("zip of 100,001 members", ZIP, _crowd(100_001), LARGE)
    yield _changed(
        "of names of 60,000 characters", NOTHING, lambda _: None, count=60, name=b"%d" + b"/a" * 30_000 + b".png"
    )
    yield _changed("of comments of 65,535 characters", NOTHING,
                   lambda parts: [each.__setitem__(19, b"c" * 65_535) for each in parts.entries], count=60)  # fmt: skip
    yield _changed(
        "of extra fields of 65,535 bytes",
        CORRUPT,
        lambda parts: [each.__setitem__(18, b"x\0\0\0" * 16_383) for each in parts.entries],
        count=60,
    )
    yield _changed("of folders of results", LARGE, lambda _: None, count=3000, name=b"%d/.atelier-batch.json")
    yield Crafted("zip whose members quote each other", ZIP, _quoting(), CORRUPT)


def _crowd(count: int) -> bytes:
    """Make a zip of empty members, fast."""
    local = struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 0, 0, 0, 0, 0, 0, 0, 1, 0) + b"a"
    entries = [
        struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, len(local) * n) + b"a"
        for n in range(count)
    ]
    directory = b"".join(entries)
    end = struct.pack(
        "<4s4H2IH", b"PK\x05\x06", 0, 0, count % 2**16, count % 2**16, len(directory), len(local) * count, 0
    )
    return local * count + directory + end


def _quoting() -> bytes:
    """Make a zip whose members' own headers quote the next in their extra fields, so that all share one content."""
    kernel = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = kernel.compress(PNG + ZEROS) + kernel.flush()
    crc, size = zlib.crc32(PNG + ZEROS), len(PNG + ZEROS)
    headers, entries, tail = [], [], data
    for number in reversed(range(50)):
        name = b"%02d.png" % number
        quoted = len(tail) - len(data)
        header = struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 0, 8, 0, 0, crc, len(data), size, len(name), quoted)
        tail = header + name + tail
        headers.append((name, len(tail)))
    for name, behind in reversed(headers):
        at = len(tail) - behind
        fields = (b"PK\x01\x02", 20, 20, 0, 8, 0, 0, crc, len(data), size, len(name), 0, 0, 0, 0, 0, at)
        entries.append(struct.pack("<4s6H3I5H2I", *fields) + name)
    directory = b"".join(entries)
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 50, 50, len(directory), len(tail), 0)
    return tail + directory + end


def _zip_headers() -> Iterator[Crafted]:
    for what, index, value in (
        ("another signature", 0, b"PK\x07\x08"),
        ("a flag of encryption", 2, 1),
        ("another method", 3, 8),
        ("another checksum", 6, 7),
        ("another packed size", 7, 1),
        ("another size", 8, 2**30),
        ("another name", 11, b"/etc/passwd"),
    ):
        yield _changed(f"whose member's own header has {what}", NOTHING,
                       lambda parts, index=index, value=value: parts.locals[0].__setitem__(index, value))  # type: ignore[misc]  # fmt: skip


def _packed(data: bytes, method: int, claimed: int | None = None) -> ZipParts:
    """Make a zip of one packed member that is said to have `claimed` bytes."""
    content, crc, size = _content(data, method)
    parts = ZipParts(data=content, name=b"a.png")
    for fields, at in ((parts.locals[0], 3), (parts.entries[0], 4)):
        fields[at], fields[at + 3] = method, crc
        fields[at + 5] = size if claimed is None else claimed
    return parts


@cache
def _content(data: bytes, method: int) -> tuple[bytes, int, int]:
    """Pack the content of a member; return it with its checksum and size."""
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w", method) as archive:
        archive.writestr("a.png", data)
    with zipfile.ZipFile(io.BytesIO(kept.getvalue())) as archive:
        info = archive.infolist()[0]
    whole = kept.getvalue()
    content = whole[35 : 35 + info.compress_size]
    return content, info.CRC, info.file_size


def _zip_contents() -> Iterator[Crafted]:
    bomb = PNG + ZEROS * 4
    for name, method in _METHODS.items():
        yield Crafted(f"zip of a {name} bomb", ZIP, _packed(bomb, method).made(), NOTHING)
        lying = _packed(PNG + ZEROS, method, claimed=100)
        yield Crafted(f"zip of a {name} bomb that is said to have 100 bytes", ZIP, lying.made(), NOTHING)
        most = _packed(bomb, method, claimed=UPLOAD_BYTES)
        yield Crafted(f"zip of a {name} bomb that is said to be just small enough", ZIP, most.made(), NOTHING)
        short = _packed(PNG * 9, method, claimed=UPLOAD_BYTES)
        yield Crafted(f"zip of a {name} member that is shorter than said", ZIP, short.made(), NOTHING)
        cut = _packed(PNG * 999, method)
        cut.datas[0] = cut.datas[0][:-20]
        for fields, at in ((cut.locals[0], 7), (cut.entries[0], 8)):
            fields[at] -= 20
        yield Crafted(f"zip of a {name} member that breaks off", ZIP, cut.made(), NOTHING)
        long = _packed(PNG * 9, method)
        long.datas[0] += bytes(1000)
        for fields, at in ((long.locals[0], 7), (long.entries[0], 8)):
            fields[at] += 1000
        yield Crafted(f"zip of a {name} member with more behind it", ZIP, long.made(), NOTHING)
    stored = _packed(PNG, zipfile.ZIP_STORED, claimed=2**30)
    yield Crafted("zip of a stored member of two sizes", ZIP, stored.made(), NOTHING)
    for what, properties in {
        "a dictionary of 4 GiB": b"\x5d\xff\xff\xff\xff",
        "impossible properties": b"\xff\0\0\1\0",
    }.items():
        parts = _packed(PNG * 9, zipfile.ZIP_LZMA)
        parts.datas[0] = parts.datas[0][:4] + properties + parts.datas[0][9:]
        yield Crafted(f"zip of an lzma member with {what}", ZIP, parts.made(), NOTHING)
    inner = zipped({f"{n}.zip": b"PK" for n in range(16)}, method=zipfile.ZIP_DEFLATED)
    yield Crafted("zip of zips of zips", ZIP, zipped({f"{n}.zip": inner for n in range(16)}), NOTHING)
