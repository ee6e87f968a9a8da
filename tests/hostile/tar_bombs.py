"""Tars that are to exhaust whoever reads them, under the default bounds: each with the codes that it may end in.

Nothing large is built: what unpacks to much is repeated, and what is claimed is written into headers.
"""

import bz2
import gzip
import lzma
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import cache

from tests.hostile.archives import CORRUPT, LARGE, NOTHING, PNG, UPLOAD_BYTES, ZEROS, Crafted, tarred

TAR, GZIP = "application/x-tar", "application/gzip"
_PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": lambda data: gzip.compress(data, 1),
    "bz2": bz2.compress,
    "xz": lambda data: lzma.compress(data, preset=1),
}


def tar_bombs() -> Iterator[Crafted]:
    """Yield them all."""
    yield from _tar_headers()
    yield from _tar_extensions()
    yield from _packed_tars()
    yield from _packings()


@cache
def _zeros(kind: str) -> bytes:
    """Pack sixteen megabytes of zeros."""
    return _PACKERS[kind](ZEROS)


def header(name: bytes = b"a.png", size: int | bytes = 0, kind: bytes = b"0", **fields: tuple[int, bytes]) -> bytes:
    """Write a tar's header; `fields` are written over it: each its place and its bytes."""
    number = size if isinstance(size, bytes) else b"%011o\0" % size
    block = bytearray(
        struct.pack("100s8s8s8s12s12s8s1s355x", name, b"644\0", b"0\0", b"0\0", number, b"0\0", b" " * 8, kind)
    )
    block[257:265] = b"ustar\x0000"
    for place, value in fields.values():
        block[place : place + len(value)] = value
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def _binary(number: int) -> bytes:
    return b"\x80" + number.to_bytes(11, "big")


def _tar_headers() -> Iterator[Crafted]:
    for what, size, codes in (
        ("8 EB", _binary(2**63), LARGE),
        ("2**87 bytes", _binary(2**87), LARGE),
        ("a negative number", b"\xff" * 12, CORRUPT),
        ("no number", b"twelve bytes", CORRUPT),
        ("3 GB", 3 * 2**30, CORRUPT),
    ):
        yield Crafted(f"tar of a member of {what}", TAR, header(size=size) + PNG.ljust(512, b"\0"), codes)
    wrong = bytearray(header())
    wrong[148:154] = b"777777"
    yield Crafted("tar with a wrong checksum behind a right one", TAR, header(b"a") + bytes(wrong), CORRUPT)
    sparse = header(
        size=512,
        kind=b"S",
        offset=(386, b"%011o\0" % 2**30),
        length=(398, b"%011o\0" % 512),
        real=(483, _binary(2**40)),
    )
    yield Crafted("tar of a file with a hole of 1 TB", TAR, sparse + bytes(512 * 3), NOTHING)
    endless = header(size=0, kind=b"S", more=(482, b"\1")) + (bytes(504) + b"\1" + bytes(7)) * 2000
    yield Crafted("tar of a map of holes without an end", TAR, endless, CORRUPT)
    yield Crafted("tar with garbage behind its end", TAR, tarred({"a": b""}) + b"garbage", CORRUPT)
    yield Crafted("tar with another behind its end", TAR, tarred({"a": b""}) + tarred({"b": b""}), CORRUPT)
    yield Crafted("tar with 8 MiB of zeros behind its end", TAR, tarred({"a": b""}) + bytes(2**23), CORRUPT)
    yield Crafted("tar that ends in a header", TAR, header() + header()[:300], CORRUPT)
    yield Crafted("tar of 100,001 members", TAR, header(b"a") * 100_001 + bytes(1024), LARGE)


def _tar_extensions() -> Iterator[Crafted]:
    kinds = {"long name": b"L", "long link": b"K", "pax header": b"x", "global pax header": b"g"}
    for what, kind in kinds.items():
        yield Crafted(f"tar with a {what} of 1 GB", TAR, header(size=2**30, kind=kind) + bytes(2**12), LARGE)
        chain = header(size=0, kind=kind) * 5000
        yield Crafted(f"tar with {what} after {what}", TAR, chain, CORRUPT)
        packed = gzip.compress(header(size=2**30, kind=kind)) + _zeros("gz") * 64
        yield Crafted(f"tar.gz with a {what} of 1 GB that is there", GZIP, packed, LARGE)
        ended = header(size=3, kind=kind) + b"a=b".ljust(512, b"\0") + bytes(1024)
        yield Crafted(f"tar that ends after a {what}", TAR, ended, NOTHING if kind in b"Kg" else CORRUPT)

    def pax(what: str, codes: set[str], records: bytes) -> Crafted:
        data = header(size=len(records), kind=b"x") + records + bytes(-len(records) % 512)
        return Crafted(f"tar with a pax header {what}", TAR, data + header() + bytes(1024), codes)

    yield pax("of 100,000 records", LARGE, b"5 a=\n" * 100_000)
    yield pax("whose record is said to be longer", CORRUPT, b"99999 a=b\n")
    yield pax("whose record is said to be empty", CORRUPT, b"0 a=b\n")
    yield pax("whose record has a length of a thousand digits", CORRUPT, b"9" * 1000 + b" a=b\n")
    yield pax("that gives a size of 2**60", LARGE, b"28 size=1152921504606846976\n")
    yield pax("that gives a negative size", CORRUPT, b"11 size=-5\n")
    yield pax("that gives a name of 1 MB", NOTHING, b"1000013 path=%s\n" % (b"a/" * 499_998 + b"/.png"[:3]))
    yield pax("of a file with holes", NOTHING, b"22 GNU.sparse.major=1\n25 GNU.sparse.realsize=9\n")


def _packed_tars() -> Iterator[Crafted]:
    for kind, pack in _PACKERS.items():
        zeros = _zeros(kind)
        start = pack(header(size=4 * 2**30 - 1, name=b"a.png") + PNG)
        yield Crafted(f"tar.{kind} bomb", GZIP, start + zeros * 80, LARGE)
        yield Crafted(
            f"tar.{kind} bomb of a file that is skipped", GZIP, pack(header(size=2**31, name=b"a")) + zeros * 80, LARGE
        )
        one = pack(header(size=UPLOAD_BYTES) + PNG + ZEROS[len(PNG) :]) + zeros * 3
        ended = one + pack(bytes(1024))
        yield Crafted(f"tar.{kind} of one picture as large as allowed", GZIP, ended, NOTHING)
        crowd = pack(header(b"a") * 10_000)
        yield Crafted(f"tar.{kind} of a million empty members", GZIP, crowd * 100, LARGE)
        fakes = pack(b"".join(header(b"%d.png" % n, len(PNG)) + PNG.ljust(512, b"\0") for n in range(6000)))
        yield Crafted(f"tar.{kind} of thousands of pictures that are none", GZIP, fakes, LARGE)
        long_names = pack((header(size=400, kind=b"L") + bytes(512)) * 16 + header(b"a"))
        yield Crafted(f"tar.{kind} of long names", GZIP, long_names * 2000, LARGE)


def _packings() -> Iterator[Crafted]:
    whole = tarred({"a": PNG * 100})
    for kind, pack in _PACKERS.items():
        data = pack(whole)
        yield Crafted(f"tar.{kind} cut in the middle", GZIP, data[: len(data) // 2], CORRUPT)
        yield Crafted(f"tar.{kind} cut at its end", GZIP, data[:-3], CORRUPT)
        yield Crafted(f"tar.{kind} with garbage behind it", GZIP, data + b"garbage", CORRUPT)
        yield Crafted(f"tar.{kind} of empty streams", GZIP, pack(b"") * 20_000, CORRUPT)
        yield Crafted(f"tar.{kind} of streams of a byte", GZIP, pack(b"\0") * 20_000, LARGE | NOTHING)
        yield Crafted(f"tar.{kind} of nothing but zeros", GZIP, _zeros(kind) * 80, CORRUPT)
        yield Crafted(f"tar.{kind} in itself", GZIP, pack(pack(whole)), CORRUPT)
    damaged = bytearray(bz2.compress(whole))
    damaged[20:40] = b"\xff" * 20
    yield Crafted("tar.bz2 that is damaged", GZIP, bytes(damaged), CORRUPT)
    yield Crafted("tar.gz with a name without an end", GZIP, b"\x1f\x8b\x08\x08" + bytes(6) + b"n" * 2**23, CORRUPT)
    for exponent in (39, 40):  # 3 GiB, and all but a byte of 4 GiB
        yield Crafted(f"tar.xz with a dictionary of {exponent}", GZIP, _large_dictionary(exponent), LARGE)


def _large_dictionary(exponent: int) -> bytes:
    """Make an xz stream whose block asks for a large dictionary. Source: The .xz File Format 1.2.1, 3.1 and 5.3.1."""
    data = bytearray(lzma.compress(tarred({"a": b""}), preset=0))
    assert data[12] == 2  # a block header of 12 bytes with one filter
    data[16] = exponent
    data[20:24] = struct.pack("<I", zlib.crc32(bytes(data[12:20])))
    return bytes(data)
