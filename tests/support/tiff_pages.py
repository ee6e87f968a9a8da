"""TIFF files made page by page, in any depth and byte order, with pages nested in others."""

import struct
import zlib
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

DEFLATE = 8
WHITE_IS_ZERO, BLACK_IS_ZERO = 0, 1
REDUCED, MASK = 1, 4
#: Tags whose values are written as long numbers; all others are short.
_LONG = {254, 256, 257, 273, 279, 330}


class Page(NamedTuple):
    """A page: samples `[height, width(, channels)]` of a number of bits, more tags, and the pages nested in it."""

    samples: NDArray[np.generic]
    bits: int
    tags: Mapping[int, int] = {}
    nested: Sequence["Page"] = ()


def tiff(*pages: Page, order: str = "<", big: bool = False) -> bytes:
    """A file of pages that follow each other."""
    file = _File(order, big=big)
    written = [file.append(page) for page in pages]
    for (_, link), (target, _) in pairwise(written):
        struct.pack_into(file.order + file.offset, file.data, link, target)
    mark, first = b"II" if order == "<" else b"MM", written[0][0]
    head = struct.pack(order + "HHHQ", 43, 8, 0, first) if big else struct.pack(order + "HI", 42, first)
    file.data[: 2 + len(head)] = mark + head
    return bytes(file.data)


class _File:
    def __init__(self, order: str, *, big: bool) -> None:
        self.order, self.offset, self._count = order, "Q" if big else "I", "Q" if big else "H"
        self.data = bytearray(16)

    def append(self, page: Page) -> tuple[int, int]:
        """Append a page; return where its directory is, and where that names the one that follows."""
        nested = [self.append(inner)[0] for inner in page.nested]
        body = _packed(page, self.order)
        body = zlib.compress(body) if page.tags.get(259) == DEFLATE else body
        strip = len(self.data)
        self.data += body + bytes(len(body) % 2)
        height, width = page.samples.shape[:2]
        channels = page.samples.shape[2] if page.samples.ndim == 3 else 1
        form = {"f": 3, "i": 2}.get(page.samples.dtype.kind, 1)
        tags = {256: width, 257: height, 258: page.bits, 259: 1, 262: 2 if channels > 1 else BLACK_IS_ZERO, 273: strip,
                277: channels, 278: height, 279: len(body), 339: form}  # fmt: skip
        tags |= dict(page.tags) | ({330: nested[0]} if nested else {})
        at = len(self.data)
        self.data += struct.pack(self.order + self._count, len(tags))
        for tag, value in sorted(tags.items()):
            kind = "I" if tag in _LONG else "H"
            field = struct.pack(self.order + kind, value)
            self.data += struct.pack(self.order + "HH" + self.offset, tag, 4 if kind == "I" else 3, 1)
            self.data += field + bytes(struct.calcsize("<" + self.offset) - len(field))
        self.data += bytes(struct.calcsize("<" + self.offset))
        return at, len(self.data) - struct.calcsize("<" + self.offset)


def _packed(page: Page, order: str) -> bytes:
    """The samples of a page as bytes, each row from a byte on."""
    if page.bits >= 8 and page.bits != 12:
        return page.samples.astype(page.samples.dtype.newbyteorder(order)).tobytes()
    bits = np.unpackbits(page.samples.astype(">u2").view(np.uint8).reshape(*page.samples.shape, 2), axis=-1)
    return np.packbits(bits[..., 16 - page.bits :].reshape(len(page.samples), -1), axis=-1).tobytes()
