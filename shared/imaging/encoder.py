"""Encodes pictures with Pillow, of eight bits per channel. `saving` adds what results have beside their pixels."""

import io
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})


def joined(rgb: NDArray[np.float32], alpha: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """Return colours and opacity as one array, `[height, width, 3 or 4]`; an `alpha` of another size is resized."""
    if alpha is None:
        return rgb
    if alpha.shape != rgb.shape[:2]:
        width_height = rgb.shape[1::-1]
        alpha = np.asarray(Image.fromarray(alpha).resize(width_height, Image.Resampling.BILINEAR), np.float32)
    return np.dstack([rgb, alpha])


def rounded(planes: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Round colours in 0 to 1 to eight bits."""
    return np.rint(np.clip(planes, 0, 1) * 255).astype(np.uint8)


def save(
    image: Image.Image,
    *,
    format: str,  # noqa: A002 - Pillow's word
    max_side: int = 0,
    quality: int = 92,
    options: Mapping[str, Any] = NO_OPTIONS,
) -> bytes:
    """Encode an RGB or RGBA image as `png`, `jpeg` or `webp`, with a long side of at most `max_side` px.

    JPEG has no alpha and shows it on white. `options` are further ones of Pillow's writer.
    """
    if format == "jpeg" and image.has_transparency_data:
        flat = Image.new("RGB", image.size, "white")
        flat.paste(image, mask=image.getchannel("A"))
        image = flat
    own: dict[str, dict[str, Any]] = {
        "png": {"compress_level": 4},
        "jpeg": {"quality": quality, "subsampling": 0},
        "webp": {"quality": quality},
    }
    buffer = io.BytesIO()
    shrunk(image, max_side).save(buffer, format=format, **own[format], **options)
    return buffer.getvalue()


def shrunk(image: Image.Image, max_side: int) -> Image.Image:
    """Return an image with a long side of at most `max_side` px (0 for any): itself, if it has none longer."""
    if not max_side or max(image.size) <= max_side:
        return image
    scale = max_side / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return resized(image, size)


def resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return an image of a size, (width, height): itself, if it has that."""
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3)
