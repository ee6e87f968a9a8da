"""Foreign bytes to pixels and back: the one place that opens what strangers send.

Only JPEG, PNG, WebP and TIFF; sizes are judged from the header, before anything is decoded; only the first
frame counts. Pictures inside Atelier are float32 RGB in 0 to 1, upright, in sRGB; alpha goes beside them.

Invariant: whatever Pillow raises leaves here as one of our errors, and nothing of the input's metadata survives.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from shared import logs
from shared.errors import AtelierError, CorruptImage, ImageTooLarge, UnsupportedImage

log = logs.get(__name__)

MEDIA_TYPES = {"jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp", "tiff": "image/tiff"}
_FORMATS = tuple(name.upper() for name in MEDIA_TYPES)
#: The longest side that WebP, the narrowest of our formats to write, can hold is 16383; JPEG holds 65500.
_MAX_SIDE_PX = 65_500
_ORIENTATION = 0x0112
_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))

# Our own bound is checked from the header for each call; Pillow's global one would only warn first.
Image.MAX_IMAGE_PIXELS = None


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


def inspect(data: bytes, *, max_bytes: int, max_px: int) -> ImageInfo:
    """Prove that `data` is a whole image within the bounds, and describe it.

    Raises `ImageTooLarge`, `UnsupportedImage` or `CorruptImage`.
    """
    if len(data) > max_bytes:
        raise ImageTooLarge(f"The image has {len(data)} bytes; at most {max_bytes} are allowed.", max_bytes=max_bytes)
    with _opened(data, max_px) as image:
        width, height = image.size
        if image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8):
            width, height = height, width
        return ImageInfo(width, height, str(image.format).lower(), len(data))


def decode(data: bytes, *, max_px: int) -> Decoded:
    """Decode an image upright and in sRGB. Raises as `inspect` does."""
    with _opened(data, max_px) as image:
        upright = ImageOps.exif_transpose(image)
        rgb, alpha = _channels(upright)
        return Decoded(rgb, alpha)


def encode(
    rgb: NDArray[np.float32],
    alpha: NDArray[np.float32] | None = None,
    *,
    format: str,
    quality: int = 92,  # noqa: A002
) -> bytes:
    """Encode a picture as `png`, `jpeg` or `webp`, without metadata; JPEG, which has no alpha, gets it on white."""
    if alpha is not None and format == "jpeg":
        rgb, alpha = rgb * alpha[..., None] + (1 - alpha[..., None]), None
    planes = rgb if alpha is None else np.dstack([rgb, alpha])
    image = Image.fromarray(_bytes(planes))
    options: dict[str, Any] = {"png": {"compress_level": 4}, "jpeg": {"quality": quality, "subsampling": 0}}.get(
        format, {"quality": quality}
    )
    buffer = io.BytesIO()
    image.save(buffer, format=format.upper(), **options)
    return buffer.getvalue()


def thumbnail(rgb: NDArray[np.float32], max_side: int) -> NDArray[np.float32]:
    """Shrink a picture to a long side of at most `max_side` px; a smaller one stays as it is."""
    height, width = rgb.shape[:2]
    scale = max_side / max(height, width)
    if scale >= 1:
        return rgb
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = Image.fromarray(_bytes(rgb)).resize(size, Image.Resampling.BOX, reducing_gap=2)
    return np.asarray(small, np.float32) / 255


def _bytes(planes: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.rint(np.clip(planes, 0, 1) * 255).astype(np.uint8)


@contextmanager
def _opened(data: bytes, max_px: int) -> Iterator[Image.Image]:
    """Open and load the first frame within the bounds; turn everything Pillow raises into our errors."""
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            _check_bounds(image.size, max_px)
            image.load()
            yield image
    except AtelierError:
        raise
    except UnidentifiedImageError:
        raise UnsupportedImage() from None
    except Exception as error:  # Pillow's decoders leak almost any kind
        log.info("image_refused", reason=repr(error))
        raise CorruptImage() from error


def _check_bounds(size: tuple[int, int], max_px: int) -> None:
    width, height = size
    if width * height > max_px or max(size) > _MAX_SIDE_PX:
        raise ImageTooLarge(
            f"The image has {width} × {height} pixels; at most {max_px} are allowed.",
            width=width,
            height=height,
            max_px=max_px,
        )


def _channels(image: Image.Image) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _deep_grey(image), None
    has_alpha = image.has_transparency_data
    alpha = np.asarray(image.convert("RGBA").getchannel("A"), np.float32) / 255 if has_alpha else None
    rgb = np.asarray(_in_srgb(image), np.float32) / 255
    return rgb, alpha


def _deep_grey(image: Image.Image) -> NDArray[np.float32]:
    """Scale 16-bit grey, and TIFF's float grey in 0 to 1, keeping their depth."""
    grey = np.nan_to_num(np.asarray(image, np.float32))
    scaled = np.clip(grey if image.mode == "F" and grey.max(initial=0) <= 1 else grey / 65535, 0, 1)
    return np.repeat(scaled[..., None], 3, axis=2).astype(np.float32)


def _in_srgb(image: Image.Image) -> Image.Image:
    """Convert to RGB by the embedded profile; by Pillow's own rule if there is none or it is broken."""
    profile = image.info.get("icc_profile")
    plain = image.convert("RGB") if image.mode not in ("RGB", "CMYK", "L", "LAB") else image
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(plain, source, _SRGB, outputMode="RGB")
            if converted is not None:
                return converted
        except (ImageCms.PyCMSError, OSError, ValueError) as error:
            log.info("icc_profile_ignored", reason=str(error))
    return plain.convert("RGB")
