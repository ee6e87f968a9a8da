"""One picture in every kind of file that people have: formats, depths, opacity, and the eight ways to hold a camera."""

import io
import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from tests.hostile.image_headers import chunk
from tests.support import heif
from tests.support.png_chunks import RGB, RGB_ALPHA, png
from tests.support.sample_images import STORED

_ACROSS, _DOWN = np.linspace(0, 255, 96), np.linspace(0, 255, 64)
#: Dark to light to the right, blue below; no side looks like another.
PICTURE = np.rint(
    np.stack(
        [np.tile(_ACROSS, (64, 1)), np.tile(_ACROSS[::-1] / 2, (64, 1)), np.tile(_DOWN[:, np.newaxis], (1, 96))],
        axis=-1,
    )
).astype(np.uint8)
#: Transparent above, opaque below.
ALPHA = np.rint(np.clip(np.tile(_DOWN[:, np.newaxis], (1, 96)) * 1.4 - 60, 0, 255)).astype(np.uint8)

#: Kinds that say how they are held, and kinds that cannot.
TURNED_KINDS = (
    "jpeg", "jpeg-progressive", "jpeg-cmyk", "jpeg-p3", "png", "png-16", "png-palette", "webp", "webp-lossless", "avif",
    "heic", "tiff",
)  # fmt: skip
UPRIGHT_KINDS = ("gif", "bmp")
ALPHA_KINDS = ("png", "png-16", "png-palette", "webp", "webp-lossless", "avif", "heic", "tiff", "gif", "bmp")
#: Kinds that browsers do not show.
UNSEEN_KINDS = ("heic", "tiff")


class Held(NamedTuple):
    """A picture as a camera stores it: its colours, its opacity, and how it was held."""

    rgb: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None
    orientation: int

    @property
    def image(self) -> Image.Image:
        planes = self.rgb if self.alpha is None else np.dstack([self.rgb, self.alpha])
        return Image.fromarray(np.ascontiguousarray(planes))

    @property
    def exif(self) -> Image.Exif:
        exif = Image.Exif()
        exif[0x0112] = self.orientation
        return exif


def held(orientation: int = 1, *, transparent: bool = False) -> Held:
    """The picture as it is stored in one of the eight ways."""
    stored = STORED[orientation]
    return Held(stored(PICTURE), stored(ALPHA) if transparent else None, orientation)


def made(kind: str, of: Held) -> bytes:
    """A file of a kind."""
    if kind in _BY_HAND:
        return _BY_HAND[kind](of)
    form, options = _BY_PILLOW[kind]
    image = of.image.convert("CMYK") if kind == "jpeg-cmyk" else of.image
    if kind == "png-palette":
        image = image.quantize(64, method=Image.Quantize.FASTOCTREE)
    buffer = io.BytesIO()
    image.save(buffer, form, exif=of.exif, **options)
    return buffer.getvalue()


def media_type(kind: str) -> str:
    """The media type of a kind."""
    return f"image/{kind.split('-', maxsplit=1)[0]}"


def p3_profile() -> bytes:
    """A profile whose red and green are further out than sRGB's."""
    from shared.imaging.profiles import by_code_points

    colours = by_code_points(12, 13)
    assert colours is not None
    profile = colours.profile(grey=False)
    assert profile is not None
    assert ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return profile


def _deep_png(of: Held) -> bytes:
    planes = np.asarray(of.image).astype(np.uint16) * 257
    exif = chunk(b"eXIf", of.exif.tobytes().removeprefix(b"Exif\0\0"))
    return png(planes, exif, kind=RGB if of.alpha is None else RGB_ALPHA, depth=16)


def _heic(of: Held) -> bytes:
    return heif.picture(of.rgb, *heif.turned(of.orientation), alpha=of.alpha)


def _gif(of: Held) -> bytes:
    image = Image.fromarray(of.rgb).quantize(255)
    buffer = io.BytesIO()
    if of.alpha is None:
        image.save(buffer, "GIF")
    else:
        image.putdata(np.where(of.alpha.ravel() < 128, 255, np.asarray(image).ravel()).tolist())
        image.save(buffer, "GIF", transparency=255)
    return buffer.getvalue()


def _bmp(of: Held) -> bytes:
    """A BMP of version 4, whose masks say which byte is the opacity."""
    if of.alpha is None:
        buffer = io.BytesIO()
        of.image.save(buffer, "BMP")
        return buffer.getvalue()
    rows = np.dstack([of.rgb[..., ::-1], of.alpha])[::-1].tobytes()
    height, width = of.alpha.shape
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    head = (
        struct.pack("<IiiHHIIiiII", 108, width, height, 1, 32, 3, len(rows), 0, 0, 0, 0) + masks + b"BGRs" + bytes(48)
    )
    return b"BM" + struct.pack("<IHHI", 14 + len(head) + len(rows), 0, 0, 14 + len(head)) + head + rows


_BY_PILLOW: dict[str, tuple[str, dict[str, object]]] = {
    "jpeg": ("JPEG", {"quality": 92}),
    "jpeg-progressive": ("JPEG", {"quality": 92, "progressive": True}),
    "jpeg-cmyk": ("JPEG", {"quality": 92}),
    "jpeg-p3": ("JPEG", {"quality": 92, "icc_profile": p3_profile()}),
    "png": ("PNG", {}),
    "png-palette": ("PNG", {}),
    "webp": ("WEBP", {"quality": 92}),
    "webp-lossless": ("WEBP", {"lossless": True}),
    "avif": ("AVIF", {"quality": 92, "speed": 10, "max_threads": 1}),
    "tiff": ("TIFF", {"compression": "tiff_adobe_deflate"}),
}
_BY_HAND = {"png-16": _deep_png, "heic": _heic, "gif": _gif, "bmp": _bmp}
