"""Foreign bytes to pixels and back: the one place that opens what strangers send.

Only JPEG, PNG, WebP and TIFF; sizes are judged from the header, before anything is decoded; only the first
frame counts. Pictures inside Atelier are float32 RGB in 0 to 1, upright, in sRGB; alpha goes beside them.
How each kind of pixel becomes RGB is in `shared.imaging.pixels`.

Invariant: whatever Pillow raises leaves here as one of our errors, and nothing of the input's metadata survives.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin, TiffImagePlugin, UnidentifiedImageError, WebPImagePlugin

from shared import logs
from shared.errors import AtelierError, CorruptImage, ImageTooLarge, UnsupportedImage
from shared.imaging import pixels

log = logs.get(__name__)

MEDIA_TYPES = {"jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp", "tiff": "image/tiff"}
_FORMATS = tuple(name.upper() for name in MEDIA_TYPES)
#: How our formats begin, so that a damaged one is told from something else altogether.
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
#: The longest side that JPEG can hold, in px; one longer could not be shown again.
_MAX_SIDE_PX = 65_500
#: TIFF's own tags for the width and height of a tile, and the rows of a strip.
_TILE_WIDTH, _TILE_HEIGHT = 322, 323
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Pillow's own bound is one number for the whole process, so ours is checked for each call instead. This one
# stays as a second wall, since WebP's decoder reserves its canvas as soon as the file is opened.
Image.MAX_IMAGE_PIXELS = 2**29

#: Most bytes that decoding may hold at once, for each pixel allowed: 400 MB at 50 megapixels. Pillow's own picture has
#: four; what its libraries hold besides is small for most files, but not for all.
_MOST_BYTES_PER_PX = 8
_ALWAYS_BYTES = 2**26
#: WebP's decoder holds two canvases, the frame that it hands out and Pillow's picture, of four each. Measured: 16.
_WEBP_BYTES_PER_PX = 16
#: Larger pictures are decoded one after the other, in px: a small file may hold one, and threads are many.
_LARGE_PX = 10_000_000
_one_large = threading.Lock()
#: Those that are encoded anew wait for each other alone: a WebP of 50 megapixels takes 20 s, and uploads go on.
_one_large_recoded = threading.Lock()

#: Most pixels of a picture that we made ourselves: any that can be painted has fewer.
_MOST_OWN_PX = 2**29
#: Pixels of a mask that are judged at once.
_BAND_PX = 2**20
#: The darkest grey but one of an eight-bit picture: a mask that is nowhere above it paints nothing.
_BLACK = 1 / 255

#: Modes in which a picture can be shrunk without a loss, alpha apart.
_SHRINKABLE = ("L", "RGB", "CMYK")

#: Share of red, green and blue in the brightness, Rec. 601.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class ImageInfo:
    """What an upload is; width and height are those seen upright."""

    width: int
    height: int
    format: str
    size_bytes: int


class Decoded(NamedTuple):
    """`rgb` is `[height, width, 3]` and `alpha`, if there is any, `[height, width]`; float32 in 0 to 1."""

    rgb: NDArray[np.float32]
    alpha: NDArray[np.float32] | None

    @property
    def mask(self) -> NDArray[np.float32]:
        """The picture taken as a mask: white and opaque counts in full, black or transparent not at all."""
        luma = self.rgb @ _LUMA
        return luma if self.alpha is None else luma * self.alpha


def inspect(data: bytes, *, max_bytes: int, max_px: int) -> ImageInfo:
    """Prove that `data` is a whole image within the bounds, and describe it.

    Raises `ImageTooLarge`, `UnsupportedImage` or `CorruptImage`.
    """
    if len(data) > max_bytes:
        raise ImageTooLarge(
            f"The image has {len(data)} bytes; at most {max_bytes} are allowed.",
            size_bytes=len(data),
            max_bytes=max_bytes,
        )
    with _loaded(data, max_px) as image:
        width, height = image.size
        if _orientation(image) in (5, 6, 7, 8):
            width, height = height, width
        # A phone's JPEG that carries a second picture calls itself MPO.
        kind = str(image.format).lower().replace("mpo", "jpeg")
        return ImageInfo(width, height, kind, len(data))


def decode(data: bytes, *, max_px: int) -> Decoded:
    """Decode an image upright and in sRGB. Raises as `inspect` does."""
    with _loaded(data, max_px) as image:
        turn = _UPRIGHT.get(_orientation(image))
        upright = image if turn is None else image.transpose(turn)
        return Decoded(pixels.rgb_of(upright), pixels.alpha_of(upright))


def small(data: bytes, *, max_px: int, max_side: int) -> bytes:
    """Encode an upload as an upright JPEG in sRGB with a long side of at most `max_side` px. Raises as `inspect` does.

    What can be is shrunk before its colours are looked at, so that a large photograph never becomes floats.
    """
    with _loaded(data, max_px) as image:
        if image.mode in _SHRINKABLE:
            image.thumbnail((max_side, max_side), Image.Resampling.LANCZOS, reducing_gap=2)
        turn = _UPRIGHT.get(_orientation(image))
        upright = image if turn is None else image.transpose(turn)
        decoded = Decoded(pixels.rgb_of(upright), pixels.alpha_of(upright))
    return encode(thumbnail(decoded.rgb, max_side), decoded.alpha, format="jpeg", quality=85)


def mask_paints(data: bytes, *, max_px: int) -> bool:
    """Say whether an image, taken as a mask, counts anywhere. Raises as `inspect` does.

    It is judged by bands, since the floats of a large picture take several times what decoding it may.
    """
    with _loaded(data, max_px) as image:
        width, height = image.size
        rows = max(1, _BAND_PX // width)
        bands = (image.crop((0, top, width, min(top + rows, height))) for top in range(0, height, rows))
        return any((Decoded(pixels.rgb_of(band), pixels.alpha_of(band)).mask > _BLACK).any() for band in bands)


def encode(
    rgb: NDArray[np.float32],
    alpha: NDArray[np.float32] | None = None,
    *,
    format: str,  # noqa: A002 - what everyone calls it
    quality: int = 92,
) -> bytes:
    """Encode a picture as `png`, `jpeg` or `webp`, without metadata; JPEG, which has no alpha, gets it on white.

    An `alpha` of another size is brought to the picture's.
    """
    if alpha is not None and alpha.shape != rgb.shape[:2]:
        width_height = rgb.shape[1::-1]
        alpha = np.asarray(Image.fromarray(alpha).resize(width_height, Image.Resampling.BILINEAR), np.float32)
    if alpha is not None and format == "jpeg":
        rgb, alpha = rgb * alpha[..., None] + (1 - alpha[..., None]), None
    planes = rgb if alpha is None else np.dstack([rgb, alpha])
    return _saved(Image.fromarray(_bytes(planes)), format, quality)


def recode(data: bytes, *, format: str, max_side: int = 0, quality: int = 92) -> bytes:  # noqa: A002 - as in `encode`
    """Encode a picture that `encode` made as another format, and with a long side of at most `max_side` px, if any.

    It stays in its eight bits, so that a large one takes no more than Pillow's pictures of it.
    """
    with _loaded(data, _MOST_OWN_PX, _one_large_recoded) as image:
        shown: Image.Image = image
        if format == "jpeg" and image.has_transparency_data:
            shown = Image.new("RGB", image.size, "white")
            shown.paste(image, mask=image.getchannel("A"))
        if max_side and max(image.size) > max_side:
            scale = max_side / max(image.size)
            size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
            shown = shown.resize(size, Image.Resampling.LANCZOS, reducing_gap=3)
        return _saved(shown, format, quality)


def thumbnail(rgb: NDArray[np.float32], max_side: int) -> NDArray[np.float32]:
    """Shrink a picture to a long side of at most `max_side` px; a smaller one stays as it is."""
    height, width = rgb.shape[:2]
    scale = max_side / max(height, width)
    if scale >= 1:
        return rgb
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = Image.fromarray(_bytes(rgb)).resize(size, Image.Resampling.LANCZOS, reducing_gap=3)
    return np.asarray(small, np.float32) / np.float32(255)


def _saved(image: Image.Image, format: str, quality: int) -> bytes:  # noqa: A002 - as in `encode`
    options: dict[str, dict[str, Any]] = {
        "png": {"compress_level": 4},
        "jpeg": {"quality": quality, "subsampling": 0},
        "webp": {"quality": quality},
    }
    buffer = io.BytesIO()
    image.save(buffer, format=format, **options[format])
    return buffer.getvalue()


def _bytes(planes: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.rint(np.clip(planes, 0, 1) * 255).astype(np.uint8)


@contextmanager
def _loaded(data: bytes, max_px: int, turn: threading.Lock = _one_large) -> Iterator[Image.Image]:
    """Open and decode the first frame within the bounds; no two large ones of one `turn` are in use at once."""
    with _refusing(data, max_px):
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
        _check_bounds(image, max_px)
    with turn if image.width * image.height > _LARGE_PX else nullcontext():
        with _refusing(data, max_px):
            image.load()
        yield image


@contextmanager
def _refusing(data: bytes, max_px: int) -> Iterator[None]:
    """Turn everything that Pillow raises into our errors."""
    try:
        yield
    except AtelierError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError) as error:
        raise ImageTooLarge("Decoding the image needs more memory than is allowed.", max_px=max_px) from error
    except UnidentifiedImageError:
        raise (CorruptImage() if data.startswith(_SIGNATURES) else UnsupportedImage()) from None
    except Exception as error:  # Pillow's decoders leak almost any kind
        log.info("image_refused", reason=repr(error))
        raise CorruptImage() from error


def _check_bounds(image: Image.Image, max_px: int) -> None:
    """Judge by the header what decoding would take."""
    width, height = image.size
    if width * height > max_px or max(width, height) > _MAX_SIDE_PX:
        raise ImageTooLarge(
            f"The image has {width} × {height} pixels; at most {max_px} are allowed, and {_MAX_SIDE_PX} on a side.",
            width=width,
            height=height,
            max_px=max_px,
        )
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        # One tile is decoded whole, however little of it the picture shows; a small picture fills one of 256 px.
        tile_px = int(image.tag_v2.get(_TILE_WIDTH, 0)) * int(image.tag_v2.get(_TILE_HEIGHT, 0))
        if tile_px > max(4 * width * height, 2**20):
            raise ImageTooLarge(f"The image's tiles have {tile_px} pixels each.", tile_px=tile_px, max_px=max_px)

    needed, most = width * height * _bytes_per_px(image), max(max_px * _MOST_BYTES_PER_PX, _ALWAYS_BYTES)
    if needed > most:
        kind = f"{'progressive ' if 'progressive' in image.info else ''}{image.format}"
        detail = (
            f"A {kind} of {width} × {height} pixels takes {needed / 1e6:.0f} MB; at most {most / 1e6:.0f} are allowed."
        )
        raise ImageTooLarge(detail, width=width, height=height, max_px=max_px)


def _bytes_per_px(image: Image.Image) -> float:
    """Return what decoding holds at its peak for each pixel: Pillow's picture, and what a library keeps beside it."""
    if isinstance(image, WebPImagePlugin.WebPImageFile):
        return _WEBP_BYTES_PER_PX
    own = 1 if image.mode in ("1", "L", "P") else 4
    if isinstance(image, JpegImagePlugin.JpegImageFile) and "progressive" in image.info:
        # two bytes for each coefficient, of which a channel that is stored smaller has fewer
        shares = [across * down for _, across, down, _ in image.layer]
        return own + 2 * sum(shares) / max(shares)
    return own


def _orientation(image: Image.Image) -> int:
    """Read how the camera was held; 1, upright, if that cannot be read.

    Pillow turns TIFF by itself while loading, and forgets the tag.
    """
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception as error:  # a broken EXIF block leaks almost any kind, and says nothing of the pixels
        log.info("exif_ignored", reason=repr(error))
        return 1
