"""GIF, of which the first frame is the picture; where it leaves the screen uncovered, that is transparent."""

import io
import struct
from functools import partial

import numpy as np
from PIL import Image

from shared.errors import CorruptImage
from shared.imaging.formats.header import Header

#: Blocks before the first frame that are looked at: comments come in blocks of 255 bytes.
_MAX_BLOCKS = 2**16
_EXTENSION, _FRAME, _GRAPHIC_CONTROL = 0x21, 0x2C, 0xF9
#: Index, palette, and what the decoder and Pillow hold of them.
_BYTES_PER_PX = 4

Box = tuple[int, int, int, int]


def read(data: bytes) -> Header:
    """Read the header of a GIF."""
    try:
        start, control, box = _first_frame(data)
    except (struct.error, IndexError):
        raise CorruptImage from None
    width, height = struct.unpack_from("<HH", data, 6)
    size = max(width, box[2]), max(height, box[3])
    return Header("GIF", size, _BYTES_PER_PX, partial(_load, data, start, control, box))


def _load(data: bytes, start: int, control: bytes, box: Box) -> Image.Image:
    # without comments and what happens after the frame, for which Pillow would hold more memory
    image = Image.open(io.BytesIO(data[: _screen_end(data)] + control + data[start:]), formats=("GIF",))
    image.load()
    if box == (0, 0, *image.size):
        return image
    framed = image.convert("RGBA")
    alpha = np.zeros(image.size[::-1], np.uint8)
    covered = np.s_[box[1] : box[3], box[0] : box[2]]
    alpha[covered] = np.asarray(framed.getchannel("A"))[covered]
    framed.putalpha(Image.fromarray(alpha))
    return framed


def _screen_end(data: bytes) -> int:
    """Return where the screen's description and palette end."""
    flags = data[10]
    return 13 + (3 << (flags & 7) + 1 if flags & 128 else 0)


def _first_frame(data: bytes) -> tuple[int, bytes, Box]:
    """Find the first frame: where it starts, its graphic control, and its (left, top, right, bottom)."""
    at, control = _screen_end(data), b""
    for _ in range(_MAX_BLOCKS):
        kind = data[at]
        if kind == _FRAME:
            left, top, width, height = struct.unpack_from("<HHHH", data, at + 1)
            return at, control, (left, top, left + width, top + height)
        if kind != _EXTENSION:
            break
        if data[at + 1] == _GRAPHIC_CONTROL and data[at + 2] >= 4:
            control = bytes([_EXTENSION, _GRAPHIC_CONTROL, 4, data[at + 3] & 1, 0, 0, data[at + 6], 0])
        at += 2
        while data[at]:
            at += data[at] + 1
        at += 1
    raise CorruptImage
