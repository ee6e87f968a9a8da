"""Bombs in HEIC, AVIF, GIF and BMP, in the tags of TIFF, and in the scans of JPEG: much decoding for few bytes."""

import struct
from collections.abc import Iterator

import numpy as np
from PIL import Image

from tests.hostile.image_headers import jpeg, segment
from tests.support import heif, hevc
from tests.support.heif import Item, box, full_box, ispe, nclx
from tests.support.sample_images import saved

_ALPHA = full_box(b"auxC", b"urn:mpeg:hevc:2015:auxid:1\0")
_TINY = np.zeros((16, 16), np.uint8)


def heic(width: int, height: int) -> bytes:
    """A HEIC that says that size of itself, and is small."""
    return heif.heif([heif.coded([_TINY] * 3, nclx(*heif.SRGB), size=(width, height))])


def coded_as(width: int, height: int, *, in_band: bool = False) -> bytes:
    """A HEIC that says that it is small, and is coded as of that size."""
    item = heif.coded([_TINY] * 3, nclx(*heif.SRGB))
    sets = hevc.parameter_sets(width, height, chroma=3)
    if in_band:
        item.data = b"".join(struct.pack(">I", len(unit)) + unit for unit in sets) + item.data
    else:
        item.properties = [heif.hvcc(sets, 3), *item.properties[1:]]
    return heif.heif([item])


def grid(rows: int, columns: int, width: int, height: int, *, tile: tuple[int, int], shared: bool = False) -> bytes:
    """A HEIC of tiles that say a size of themselves, one of them many times if `shared`."""
    tiles = [heif.coded([_TINY] * 3, size=tile)] * (1 if shared else rows * columns)
    parts = [2] * (rows * columns) if shared else list(range(2, 2 + rows * columns))
    described = bytes([0, 1, rows - 1, columns - 1]) + struct.pack(">II", width, height)
    return heif.heif([Item(b"grid", described, [ispe(width, height)], {b"dimg": parts}), *tiles])


def loop(*, wide: int = 1) -> bytes:
    """A HEIC whose items are made of each other, each of the next `wide` times."""
    items = [Item(b"iovl", bytes(40), [ispe(16, 16)], {b"dimg": [n % 3 + 1] * wide}) for n in range(1, 4)]
    return heif.heif(items)


def tower() -> bytes:
    """A HEIC whose items are made of 200 of the next, seven times over."""
    items = [Item(b"iovl", bytes(40), [ispe(1000, 1000)], {b"dimg": [n + 2] * 200}) for n in range(7)]
    return heif.heif([*items, heif.coded([_TINY] * 3, size=(1000, 1000))])


def av1_sequence(width: int, height: int) -> bytes:
    """The sequence header of a still picture."""
    bits = hevc.Bits().u(0, 3).u(1, 1).u(1, 1).u(31, 5).u(15, 4).u(15, 4).u(width - 1, 16).u(height - 1, 16)
    body = bits.u(0, 16).aligned().packed()
    return bytes([1 << 3 | 2, len(body)]) + body


def avif(width: int, height: int, *, coded: tuple[int, int] | None = None, in_box: bool = False) -> bytes:
    """An AVIF that says one size of itself, and another in its sequence header."""
    sequence = av1_sequence(*(coded or (width, height)))
    configuration = box(b"av1C", bytes([0x81, 0, 0x0C, 0]) + (sequence if in_box else b""))
    pixi = full_box(b"pixi", bytes([3, 8, 8, 8]))
    data = b"\x12\0" + (b"" if in_box else sequence) + b"\x32\x20" + bytes(32)
    return heif.heif([Item(b"av01", data, [configuration, ispe(width, height), pixi])], brand=b"avif")


def gif(width: int, height: int, *, frame: tuple[int, int] | None = None, before: bytes = b"") -> bytes:
    """A GIF of that screen, with a first frame of a size."""
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes([0, 0, 0, 255, 255, 255])
    image = b"," + struct.pack("<HHHHB", 0, 0, *(frame or (width, height)), 0)
    return screen + before + image + b"\2\2\x4c\1\0;"


def bmp(width: int, height: int, *, compression: int = 0, bits: int = 24, data: bytes = b"") -> bytes:
    """A BMP that says that size of itself."""
    palette = bytes(4) + b"\xff\0\0\0" if bits == 8 else b""
    body = data or bytes(1000)
    used = 2 if bits == 8 else 0
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(body), 0, 0, used, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(palette) + len(body), 0, 0, 54 + len(palette)) + head + palette + body


def scans(side: int, number: int, *, progressive: bool = True) -> bytes:
    """A black JPEG with its last scan again and again."""
    data = saved(Image.new("RGB", (side, side)), "JPEG", progressive=progressive)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * (number - data.count(b"\xff\xda")) + data[-2:]


def tiff_tags(number: int, size: int) -> bytes:
    """A TIFF whose tags all hold the same bytes."""
    entries = [(256, 3, 1, 8), (257, 3, 1, 8), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 0)]
    entries += [(277, 3, 1, 1), (278, 3, 1, 8), (279, 4, 1, 64)]
    entries += [(tag, 7, size, 0) for tag in range(40_000, 40_000 + number)]
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0\x08\0\0\0" + directory + bytes(4 + size)


def coded_bombs() -> Iterator[tuple[str, bytes]]:
    """Name and make each; all are to be refused."""
    sides = (7072, 16_384, 60_000)
    for side in sides:
        yield f"heic-{side}", heic(side, side)
        yield f"avif-{side}", avif(side, side)
        yield f"gif-{side}", gif(side, side)
        yield f"gif-frame-{side}", gif(8, 8, frame=(side, side))
        yield f"bmp-{side}", bmp(side, side)
        yield f"bmp-from-above-{side}", bmp(side, -side)
    for side in (4096, 16_384, 65_535):
        yield f"heic-coded-as-{side}", coded_as(side, side)
        yield f"heic-coded-in-band-as-{side}", coded_as(side, side, in_band=True)
        yield f"avif-coded-as-{side}", avif(64, 64, coded=(side, side))
        yield f"avif-configured-as-{side}", avif(64, 64, coded=(side, side), in_box=True)
    yield "heic-grid-of-large-tiles", grid(16, 16, 512, 512, tile=(4096, 4096))
    yield "heic-grid-of-one-tile", grid(16, 16, 512, 512, tile=(4096, 4096), shared=True)
    yield "heic-grid-of-60000", grid(2, 2, 60_000, 60_000, tile=(30_000, 30_000))
    yield "heic-in-a-loop", loop()
    yield "heic-in-a-wide-loop", loop(wide=100)
    yield "heic-tower", tower()
    yield "heic-of-2^32-properties", heic(64, 64).replace(b"ipma\0\0\0\0\0\0\0\1", b"ipma\0\0\0\0\xff\xff\xff\xff")
    yield "heic-of-many-boxes", _after_type(heic(64, 64), box(b"free") * 100_000)
    exif = [Item(b"Exif", bytes(9)) for _ in range(900)]
    yield "heic-of-shared-bytes", heif.heif([heif.coded([_TINY] * 3), *exif]).replace(b"\0\0\0\x09", b"\0\0\x09\0")
    yield "bmp-run-lengths", bmp(7000, 7000, compression=1, bits=8, data=b"\1\0\0\0" * 7000)
    yield "bmp-many-run-lengths", bmp(2000, 2000, compression=1, bits=8, data=b"\1\0" * 4_000_000)
    yield "gif-of-comments", gif(8, 8, before=b"!\xfe\1a\0" * 70_000)
    yield "jpeg-2000-scans", scans(2000, 2000)
    yield "jpeg-101-scans", scans(64, 101)
    yield "jpeg-20-scans-of-49-megapixels", scans(7000, 20)
    yield "jpeg-200-scans-of-one", scans(2000, 200, progressive=False)
    yield "jpeg-500000-segments", jpeg(64, 40, extra=segment(0xE5, b"x") * 500_000)
    yield "tiff-tags", tiff_tags(2000, 2**21)
    yield "tiff-60000-tags", tiff_tags(20_000, 2**16)


def _after_type(data: bytes, more: bytes) -> bytes:
    """Put boxes behind a file's first one; offsets are then wrong, which nobody gets to see."""
    end = int.from_bytes(data[:4], "big")
    return data[:end] + more + data[end:]
