"""Pictures of sixteen bits per channel: written from the engine's floats, and read back to be mixed or converted.

Pillow has no such pictures in colour, so PNG is written by pypng. Only files that this module wrote are read.

Invariant: beside the picture of sixteen bits, only a band of its rows is held as floats.
"""

import io
import zlib
from collections.abc import Iterator

import numpy as np
import png
from numpy.typing import NDArray
from PIL import Image

from shared.errors import CorruptImage
from shared.imaging import oklab
from shared.imaging.formats.recognition import recognize

#: Colours `[height, width, 3]`, or with opacity `[height, width, 4]`; 65535 is white, or opaque.
Pixels = NDArray[np.uint16]

_WHITE = 65_535
#: Where a PNG's header tells its bits per channel.
_DEPTH_AT = 24
#: As for pictures of eight bits.
_ZLIB_LEVEL = 4
#: Pixels of a band.
_BAND_PX = 2**18


def from_floats(planes: NDArray[np.float32]) -> Pixels:
    """Convert a picture in 0 to 1, a band at a time."""
    found = np.empty(planes.shape, np.uint16)
    for rows in _bands(planes.shape):
        found[rows] = np.rint(np.clip(planes[rows], 0, 1) * np.float32(_WHITE))
    return found


def is_deep(data: bytes) -> bool:
    """Return whether a file is a PNG of sixteen bits per channel."""
    return recognize(data) == "png" and data[_DEPTH_AT : _DEPTH_AT + 1] == b"\x10"


def write_png(pixels: Pixels) -> bytes:
    """Write a PNG without metadata."""
    height, width, planes = pixels.shape
    writer = png.Writer(
        width, height, greyscale=False, alpha=planes == 4, bitdepth=16, compression=_ZLIB_LEVEL, chunk_limit=2**20
    )
    file = io.BytesIO()
    writer.write_packed(file, (row.astype(">u2").tobytes() for row in pixels))
    return file.getvalue()


def read_png(data: bytes) -> Pixels:
    """Read what `write_png` wrote; raise `CorruptImage`."""
    try:
        reader = png.Reader(bytes=data)
        reader.preamble()
        packed = b"".join(piece for kind, piece in reader.chunks() if kind == b"IDAT")
        rows = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(reader.height, -1)
        if rows[:, 0].any():
            raise CorruptImage("The picture's rows are filtered, which its writer does not do.")
        pixels = np.ascontiguousarray(rows[:, 1:]).view(">u2").reshape(reader.height, reader.width, reader.planes)
        return pixels.astype(np.uint16)
    except (png.Error, zlib.error, ValueError, EOFError) as error:
        raise CorruptImage() from error


def mix_into(pixels: Pixels, photograph: Image.Image, strength: float) -> None:
    """Change the colours to their mix with `photograph`, an RGB image of the same size, as `mixing.mix_into` does."""
    for rows in _bands(pixels.shape):
        band = photograph.crop((0, rows.start, photograph.width, rows.stop))
        colours = np.asarray(band, np.float32) / np.float32(255)
        painted = pixels[rows, :, :3].astype(np.float32) / np.float32(_WHITE)
        pixels[rows, :, :3] = from_floats(oklab.blend(colours, painted, strength))


def to_eight_bits(pixels: Pixels) -> Image.Image:
    """Round a picture to eight bits per channel."""
    rounded = np.empty(pixels.shape, np.uint8)
    for rows in _bands(pixels.shape):
        rounded[rows] = (pixels[rows].astype(np.uint32) + 128) // 257
    return Image.fromarray(rounded)


def _bands(shape: tuple[int, ...]) -> Iterator[slice]:
    height, width = shape[:2]
    rows = max(1, _BAND_PX // width)
    return (slice(top, min(top + rows, height)) for top in range(0, height, rows))
