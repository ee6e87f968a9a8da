"""HEIF files by hand: boxes around pictures coded by `hevc`, for tests.

Source: ISO/IEC 14496-12 (boxes), 23008-12 (items and their properties), 14496-15 (the decoder's configuration).
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tests.support import hevc

#: sRGB's primaries and transfer, stored as they are: G, B, R in full range.
SRGB = (1, 13, 0)


@dataclass
class Item:
    """A picture or another item: its four-letter kind, its bytes, its properties, and what it refers to by kind."""

    kind: bytes
    data: bytes
    properties: Sequence[bytes] = ()
    refers: dict[bytes, list[int]] = field(default_factory=dict)


def box(kind: bytes, *parts: bytes) -> bytes:
    """A box."""
    body = b"".join(parts)
    return struct.pack(">I", len(body) + 8) + kind + body


def full_box(kind: bytes, *parts: bytes, version: int = 0, flags: int = 0) -> bytes:
    """A box with a version and flags."""
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def ispe(width: int, height: int) -> bytes:
    """How large an item is."""
    return full_box(b"ispe", struct.pack(">II", width, height))


def nclx(primaries: int, transfer: int, matrix: int) -> bytes:
    """An item's colours, by the code points of H.273, in full range."""
    return box(b"colr", b"nclx", struct.pack(">HHHB", primaries, transfer, matrix, 0x80))


def turned(orientation: int) -> list[bytes]:
    """The properties that show a stored picture as an EXIF `orientation` would: first turned, then mirrored."""
    turn = {3: 2, 4: 2, 5: 3, 6: 3, 7: 1, 8: 1}.get(orientation, 0)
    return [box(b"irot", bytes([turn]))] * (turn > 0) + [box(b"imir", b"\1")] * (orientation in (2, 4, 5, 7))


def coded(planes: Sequence[NDArray[np.uint8]], *others: bytes, size: tuple[int, int] | None = None) -> Item:
    """An item of a picture, `planes` of `[height, width]`: grey; Y, Cb and Cr; or, for `SRGB`, G, B and R.

    `size` is what it says of itself.
    """
    height, width = planes[0].shape
    chroma = 0 if len(planes) == 1 else 3 if planes[1].shape == planes[0].shape else 1
    data = hevc.slice_of(planes)
    sets = hvcc(hevc.parameter_sets(width, height, chroma=chroma), chroma)
    return Item(b"hvc1", struct.pack(">I", len(data)) + data, [sets, ispe(*(size or (width, height))), *others])


def hvcc(sets: Sequence[bytes], chroma: int) -> bytes:
    """The decoder's configuration."""
    profile = bytes([4]) + struct.pack(">I", 1 << 27) + bytes(6) + bytes([186])
    arrays = b"".join(bytes([unit[0] >> 1]) + struct.pack(">HH", 1, len(unit)) + unit for unit in sets)
    rest = struct.pack(">HBBBBHBB", 0xF000, 0xFC, 0xFC | chroma, 0xF8, 0xF8, 0, 0x0F, len(sets))
    return box(b"hvcC", b"\1" + profile + rest + arrays)


def heif(items: Sequence[Item], *, brand: bytes = b"heic", primary: int = 1) -> bytes:
    """A file of items, numbered from 1."""
    properties = list(dict.fromkeys(own for item in items for own in item.properties))
    infos = [
        full_box(b"infe", struct.pack(">HH", number, 0), item.kind, b"\0", version=2)
        for number, item in enumerate(items, 1)
    ]
    owned = b"".join(
        struct.pack(">HB", number, len(item.properties)) + bytes(properties.index(own) + 1 for own in item.properties)
        for number, item in enumerate(items, 1)
    )
    references = [
        box(kind, struct.pack(f">HH{len(to)}H", number, len(to), *to))
        for number, item in enumerate(items, 1)
        for kind, to in item.refers.items()
    ]

    def meta(start: int) -> bytes:
        places, at = b"", start
        for number, item in enumerate(items, 1):
            places += struct.pack(">HHHII", number, 0, 1, at, len(item.data))
            at += len(item.data)
        return full_box(
            b"meta",
            full_box(b"hdlr", bytes(4) + b"pict" + bytes(13)),
            full_box(b"pitm", struct.pack(">H", primary)),
            full_box(b"iloc", struct.pack(">HH", 0x4400, len(items)) + places),
            full_box(b"iinf", struct.pack(">H", len(items)), *infos),
            box(b"iprp", box(b"ipco", *properties), full_box(b"ipma", struct.pack(">I", len(items)), owned)),
            *([full_box(b"iref", *references)] if references else []),
        )

    first = box(b"ftyp", brand, bytes(4), b"mif1", brand)
    data = box(b"mdat", *(item.data for item in items))
    return first + meta(len(first) + len(meta(0)) + 8) + data


def picture(rgb: NDArray[np.uint8], *others: bytes, alpha: NDArray[np.uint8] | None = None) -> bytes:
    """A HEIC file of a picture `[height, width, 3]`, stored without loss; `others` are more properties."""
    items = [coded([rgb[..., channel] for channel in (1, 2, 0)], nclx(*SRGB), *others)]
    if alpha is not None:
        marked = full_box(b"auxC", b"urn:mpeg:hevc:2015:auxid:1\0")
        items.append(coded([alpha], marked, *others))
        items[-1].refers[b"auxl"] = [1]
    return heif(items)
