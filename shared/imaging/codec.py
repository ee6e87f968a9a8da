"""Decodes and encodes images: the one place that opens uploads.

Only the first frame or the full page of a file counts. Decoded images are upright float32 RGB in 0 to 1, in sRGB, with
alpha apart; `pixels` converts each kind of pixel. Colours that nothing shows are replaced by those around them.

Invariant: no metadata of the input survives.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shared.errors import BlankImage, ImageTooLarge
from shared.imaging import encoder, filling, mixing, pixels
from shared.imaging.mixing import Mix
from shared.imaging.opening import opened, recognized
from shared.imaging.orientation import is_turned, upright

#: Results that are recoded wait only for each other: a WebP of 50 megapixels takes 20 s, which would block uploads.
_large_result_lock = threading.Lock()

#: Bound on an image that we encoded ourselves: any that can be painted has fewer pixels.
MAX_RESULT_PX = 2**29
#: Pixels of a mask that are converted at once.
_BAND_PX = 2**20
#: The darkest grey above black in eight bits: a mask that is nowhere brighter paints nothing.
_BLACK = 1 / 255

#: Modes that Pillow can shrink before colours are converted, without loss; colours weigh as much as they are opaque.
_SHRINKABLE = ("L", "LA", "RGB", "RGBA", "CMYK")

#: Weights of red, green and blue in the luma, Rec. 601.
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class ImageInfo:
    """A description of an upload; width and height are those of the upright image."""

    width: int
    height: int
    format: str
    size_bytes: int


class Decoded(NamedTuple):
    """An image: `rgb` `[height, width, 3]` and `alpha` `[height, width]`, if there is any; float32 in 0 to 1.

    Where alpha is 0, the colours are those of the visible places around.
    """

    rgb: NDArray[np.float32]
    alpha: NDArray[np.float32] | None

    @property
    def nbytes(self) -> int:
        """What both arrays take."""
        return self.rgb.nbytes + (self.alpha.nbytes if self.alpha is not None else 0)

    @property
    def mask(self) -> NDArray[np.float32]:
        """The image as a mask: its luminance times its opacity."""
        luma = self.rgb @ LUMA
        return luma if self.alpha is None else luma * self.alpha


def inspect(data: bytes, *, max_bytes: int, max_px: int) -> ImageInfo:
    """Decode `data` to check that it is a complete image within the bounds; describe it.

    Raises `ImageTooLarge`, `UnsupportedImage`, `CorruptImage` or `BlankImage`.
    """
    if len(data) > max_bytes:
        detail = f"The image has {len(data)} bytes; at most {max_bytes} are allowed."
        raise ImageTooLarge(detail, size_bytes=len(data), max_bytes=max_bytes)
    with opened(data, max_px) as image:
        if pixels.is_transparent(image):
            raise BlankImage
        width, height = image.size
        if is_turned(image):
            width, height = height, width
        return ImageInfo(width, height, recognized(data), len(data))


def decode(data: bytes, *, max_px: int) -> Decoded:
    """Decode an image upright and in sRGB. Raises as `inspect` does."""
    with opened(data, max_px) as image:
        shown = upright(image)
        rgb, alpha = pixels.rgb_of(shown), pixels.alpha_of(shown)
    if alpha is not None:
        if not alpha.any():
            raise BlankImage
        filling.fill_hidden(rgb, alpha)
    return Decoded(rgb, alpha)


def thumbnail_jpeg(data: bytes, *, max_px: int, max_side: int) -> bytes:
    """Encode an upload as an upright JPEG in sRGB with a long side of at most `max_side` px. Raises as `inspect` does.

    Most images are shrunk before their colours are converted, so a large photograph is never held as floats.
    """
    with opened(data, max_px) as image:
        shown = pixels.without_palette(image)
        if shown.mode in _SHRINKABLE:
            shown.thumbnail((max_side, max_side), Image.Resampling.LANCZOS, reducing_gap=2)
        shown = upright(shown)
        decoded = Decoded(pixels.rgb_of(shown), pixels.alpha_of(shown))
    return encode(thumbnail(decoded.rgb, max_side), decoded.alpha, format="jpeg", quality=85)


def is_blank_mask(data: bytes, *, max_px: int) -> bool:
    """Return whether an image is black everywhere as a mask. Raises as `inspect` does.

    It is converted in bands, since the floats of a large image take several times the memory of decoding it.
    """
    with opened(data, max_px) as image:
        width, height = image.size
        rows = max(1, _BAND_PX // width)
        bands = (image.crop((0, top, width, min(top + rows, height))) for top in range(0, height, rows))
        return not any((Decoded(pixels.rgb_of(band), pixels.alpha_of(band)).mask > _BLACK).any() for band in bands)


def encode(
    rgb: NDArray[np.float32],
    alpha: NDArray[np.float32] | None = None,
    *,
    format: str,  # noqa: A002 - Pillow's word
    quality: int = 92,
) -> bytes:
    """Encode an image as `png`, `jpeg` or `webp`, without metadata; JPEG has no alpha and shows it on white.

    An `alpha` of another size is resized to the image's.
    """
    planes = encoder.joined(rgb, alpha)
    if alpha is not None and format == "jpeg":
        planes = planes[..., :3] * planes[..., 3:] + (1 - planes[..., 3:])
    return encoder.save(Image.fromarray(encoder.rounded(planes)), format=format, quality=quality)


def recode(
    data: bytes,
    *,
    format: str,  # noqa: A002 - as in `encode`
    max_side: int = 0,
    quality: int = 92,
    mix: Mix | None = None,
    options: Mapping[str, Any] = encoder.NO_OPTIONS,
) -> bytes:
    """Convert an image made by `encode` to another format, with a long side of at most `max_side` px (0 for any).

    `mix` mixes it with its photograph, decoded as `decode` does and resized to its size; raises as `inspect` does.
    `options` are further ones of Pillow's writer. It stays in eight bits, so a large one takes no more memory than
    Pillow's copies of it.
    """
    with opened(data, MAX_RESULT_PX, _large_result_lock) as image:
        shown = image
        if mix is not None:
            shown = encoder.shrunk(image, max_side)
            mixing.mix_into(shown, photograph_of(mix, shown.size), mix.strength)
        return encoder.save(shown, format=format, max_side=max_side, quality=quality, options=options)


def thumbnail(rgb: NDArray[np.float32], max_side: int) -> NDArray[np.float32]:
    """Shrink an image to a long side of at most `max_side` px; return a smaller one unchanged."""
    height, width = rgb.shape[:2]
    scale = max_side / max(height, width)
    if scale >= 1:
        return rgb
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = Image.fromarray(encoder.rounded(rgb)).resize(size, Image.Resampling.LANCZOS, reducing_gap=3)
    return np.asarray(small, np.float32) / np.float32(255)


def photograph_of(mix: Mix, size: tuple[int, int]) -> Image.Image:
    """Return the photograph of a mix as an RGB image of the painting's size, (width, height); raise as `inspect`."""
    with opened(mix.photograph, mix.max_px) as image:
        shown = upright(pixels.without_palette(image))
        if shown.mode in _SHRINKABLE and shown.width > size[0]:  # converting colours copies what it converts
            shown = encoder.resized(shown, size)
        colours, alpha = pixels.eight_bit_of(shown), pixels.alpha_of(shown)
    if alpha is not None and alpha.any():
        filled = np.array(colours)
        filling.fill_hidden(filled, alpha)
        colours = Image.fromarray(filled)
    return encoder.resized(colours, size)
