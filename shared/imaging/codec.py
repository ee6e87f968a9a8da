"""Decodes and encodes images: the one place that opens uploads.

JPEG, PNG, WebP and TIFF only, and only the first frame. Decoded images are upright float32 RGB in 0 to 1, in sRGB, with
alpha apart; `pixels` converts each kind of pixel.

Threat: the file is hostile. What decoding would take is judged from the header, before anything is decoded.

Invariant: whatever Pillow raises leaves here as one of our errors, and no metadata of the input survives.
"""

import io
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin, TiffImagePlugin, UnidentifiedImageError, WebPImagePlugin

from shared import logs
from shared.errors import AtelierError, CorruptImage, ImageTooLarge, UnsupportedImage
from shared.imaging import encoder, mixing, pixels
from shared.imaging.mixing import Mix
from shared.imaging.orientation import is_turned, upright

log = logs.get(__name__)

MEDIA_TYPES = {"jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp", "tiff": "image/tiff"}
FORMATS = tuple(name.upper() for name in MEDIA_TYPES)
#: The first bytes of our formats, to tell a damaged image from a file of another kind.
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
#: The longest side that JPEG can hold, in px: previews are JPEG.
_MAX_SIDE_PX = 65_500
#: TIFF tags for the width and height of a tile.
_TILE_WIDTH, _TILE_HEIGHT = 322, 323

# Pillow's own bound is one number for the whole process, so ours is checked for each call instead. Pillow's stays as
# a second guard, since WebP's decoder allocates its canvas as soon as the file is opened.
Image.MAX_IMAGE_PIXELS = 2**29

#: Bytes that decoding may hold at once for each pixel allowed: 400 MB at 50 megapixels. Pillow's own image takes four;
#: most libraries take little more, but not all.
_MAX_BYTES_PER_PX = 8
#: Bytes that decoding may hold in any case.
_MIN_BUDGET_BYTES = 2**26
#: WebP's decoder holds two canvases, its frame and Pillow's image, of four bytes each. Measured: 16.
_WEBP_BYTES_PER_PX = 16
#: Larger images, in px, are decoded one at a time: a small file may hold one, and there are many threads.
_LARGE_PX = 10_000_000
_large_upload_lock = threading.Lock()
#: Results that are recoded wait only for each other: a WebP of 50 megapixels takes 20 s, which would block uploads.
_large_result_lock = threading.Lock()

#: Bound on an image that we encoded ourselves: any that can be painted has fewer pixels.
_MAX_RESULT_PX = 2**29
#: Pixels of a mask that are converted at once.
_BAND_PX = 2**20
#: The darkest grey above black in eight bits: a mask that is nowhere brighter paints nothing.
_BLACK = 1 / 255

#: Modes that Pillow can shrink before colours are converted, without loss.
_SHRINKABLE = ("L", "RGB", "CMYK")

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
    """An image: `rgb` `[height, width, 3]` and `alpha` `[height, width]`, if there is any; float32 in 0 to 1."""

    rgb: NDArray[np.float32]
    alpha: NDArray[np.float32] | None

    @property
    def mask(self) -> NDArray[np.float32]:
        """The image as a mask: its luminance times its opacity."""
        luma = self.rgb @ LUMA
        return luma if self.alpha is None else luma * self.alpha


def inspect(data: bytes, *, max_bytes: int, max_px: int) -> ImageInfo:
    """Decode `data` to check that it is a complete image within the bounds; describe it.

    Raises `ImageTooLarge`, `UnsupportedImage` or `CorruptImage`.
    """
    if len(data) > max_bytes:
        detail = f"The image has {len(data)} bytes; at most {max_bytes} are allowed."
        raise ImageTooLarge(detail, size_bytes=len(data), max_bytes=max_bytes)
    with _loaded(data, max_px) as image:
        width, height = image.size
        if is_turned(image):
            width, height = height, width
        # a phone's JPEG with a second image inside is an MPO
        kind = str(image.format).lower().replace("mpo", "jpeg")
        return ImageInfo(width, height, kind, len(data))


def decode(data: bytes, *, max_px: int) -> Decoded:
    """Decode an image upright and in sRGB. Raises as `inspect` does."""
    with _loaded(data, max_px) as image:
        shown = upright(image)
        return Decoded(pixels.rgb_of(shown), pixels.alpha_of(shown))


def thumbnail_jpeg(data: bytes, *, max_px: int, max_side: int) -> bytes:
    """Encode an upload as an upright JPEG in sRGB with a long side of at most `max_side` px. Raises as `inspect` does.

    Most images are shrunk before their colours are converted, so a large photograph is never held as floats.
    """
    with _loaded(data, max_px) as image:
        if image.mode in _SHRINKABLE:
            image.thumbnail((max_side, max_side), Image.Resampling.LANCZOS, reducing_gap=2)
        shown = upright(image)
        decoded = Decoded(pixels.rgb_of(shown), pixels.alpha_of(shown))
    return encode(thumbnail(decoded.rgb, max_side), decoded.alpha, format="jpeg", quality=85)


def is_blank_mask(data: bytes, *, max_px: int) -> bool:
    """Return whether an image is black everywhere as a mask. Raises as `inspect` does.

    It is converted in bands, since the floats of a large image take several times the memory of decoding it.
    """
    with _loaded(data, max_px) as image:
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
    with _loaded(data, _MAX_RESULT_PX, _large_result_lock) as image:
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
    with _loaded(mix.photograph, mix.max_px) as image:
        shown = upright(image)
        if shown.mode in _SHRINKABLE and shown.width > size[0]:  # converting colours copies what it converts
            shown = encoder.resized(shown, size)
        return encoder.resized(pixels.eight_bit_of(shown), size)


@contextmanager
def _loaded(data: bytes, max_px: int, lock: threading.Lock = _large_upload_lock) -> Iterator[Image.Image]:
    """Open and decode the first frame within the bounds; only one large image is in use at a time per `lock`."""
    with _translated_errors(data, max_px):
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        _check_bounds(image, max_px)
    with lock if image.width * image.height > _LARGE_PX else nullcontext():
        with _translated_errors(data, max_px):
            image.load()
        yield image


@contextmanager
def _translated_errors(data: bytes, max_px: int) -> Iterator[None]:
    """Translate everything that Pillow raises into our errors."""
    try:
        yield
    except AtelierError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError) as error:
        raise ImageTooLarge("Decoding the image needs more memory than is allowed.", max_px=max_px) from error
    except UnidentifiedImageError:
        raise (CorruptImage() if data.startswith(_SIGNATURES) else UnsupportedImage()) from None
    except Exception as error:  # Pillow's decoders raise almost any kind
        log.info("image_refused", reason=repr(error))
        raise CorruptImage() from error


def _check_bounds(image: Image.Image, max_px: int) -> None:
    """Raise `ImageTooLarge` if, by its header, decoding the image would exceed the bounds."""
    width, height = image.size
    fields = {"width": width, "height": height, "max_px": max_px}
    if width * height > max_px or max(width, height) > _MAX_SIDE_PX:
        limits = f"at most {max_px} are allowed, and {_MAX_SIDE_PX} on a side"
        raise ImageTooLarge(f"The image has {width} × {height} pixels; {limits}.", **fields)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        # a tile is decoded whole, even where it reaches beyond the image; small images have tiles of up to 256 px
        tile_px = int(image.tag_v2.get(_TILE_WIDTH, 0)) * int(image.tag_v2.get(_TILE_HEIGHT, 0))
        if tile_px > max(4 * width * height, 2**20):
            raise ImageTooLarge(f"The image's tiles have {tile_px} pixels each.", tile_px=tile_px, max_px=max_px)

    needed, allowed = width * height * _bytes_per_px(image), max(max_px * _MAX_BYTES_PER_PX, _MIN_BUDGET_BYTES)
    if needed > allowed:
        kind = f"{'progressive ' if 'progressive' in image.info else ''}{image.format}"
        limit = f"the limit is {allowed / 1e6:.0f} MB"
        raise ImageTooLarge(f"A {kind} of {width} × {height} pixels takes {needed / 1e6:.0f} MB; {limit}.", **fields)


def _bytes_per_px(image: Image.Image) -> float:
    """Return the peak memory of decoding per pixel: Pillow's image, and what its libraries hold beside it."""
    if isinstance(image, WebPImagePlugin.WebPImageFile):
        return _WEBP_BYTES_PER_PX
    own = 1 if image.mode in ("1", "L", "P") else 4
    if isinstance(image, JpegImagePlugin.JpegImageFile) and "progressive" in image.info:
        # two bytes per coefficient; subsampled channels have fewer of them
        shares = [across * down for _, across, down, _ in image.layer]
        return own + 2 * sum(shares) / max(shares)
    return own
