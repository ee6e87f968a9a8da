"""Pictures and bytes for the tests of `shared.imaging.codec`."""

import io

import numpy as np
from PIL import Image, ImageCms

from shared.imaging import codec

MAX_PX = 10**6
#: Four quarters: red, green / blue, white.
_FOUR = np.uint8([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]])
QUARTERS = _FOUR.repeat(20, axis=0).repeat(32, axis=1)
NOISE = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)

#: For each EXIF orientation, what was done to the upright picture when it was stored so.
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


def saved(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def inspect(data: bytes, max_bytes: int = 10**7, max_px: int = MAX_PX) -> codec.ImageInfo:
    return codec.inspect(data, max_bytes=max_bytes, max_px=max_px)


def decode(data: bytes) -> codec.Decoded:
    return codec.decode(data, max_px=MAX_PX)


def quarters(rgb: np.ndarray) -> list[tuple[int, ...]]:
    height, width = rgb.shape[:2]
    at = [(height // 4, width // 4), (height // 4, width * 3 // 4)]
    at += [(height * 3 // 4, width // 4), (height * 3 // 4, width * 3 // 4)]
    return [tuple(int(channel) for channel in np.rint(rgb[y, x])) for y, x in at]


#: What `quarters` finds in a picture that is the right way up.
UPRIGHT = [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1)]


def profile_with_red_and_green_swapped() -> bytes:
    """A profile made by hand: sRGB's own, whose tags for red and green name each other's data."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = data.index(b"rXYZ"), data.index(b"gXYZ")
    data[red : red + 4], data[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(data)
