"""Converts every kind of pixel to float32 RGB in 0 to 1, in sRGB, and alpha.

Deep grey (16 bit, 32 bit, float) keeps its depth; everything else has eight bits per channel. An embedded ICC profile
is applied; one that is broken, or for another mode, is ignored and logged.

Invariant: no mode in which Pillow opens our four formats raises.
"""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from shared import logs

log = logs.get(__name__)

_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
#: The mode to which each mode is converted before a profile is applied; RGB for all others.
_PROFILED = {"RGB": "RGB", "CMYK": "CMYK", "LAB": "LAB", "L": "L", "LA": "L", "1": "L"}


def rgb_of(image: Image.Image) -> NDArray[np.float32]:
    """Return the colours of an image, `[height, width, 3]`."""
    if _is_deep(image):
        grey = _deep_grey(image)
        return np.repeat(grey[..., None], 3, axis=2)
    return np.asarray(_in_srgb(image), np.float32) / np.float32(255)


def eight_bit_of(image: Image.Image) -> Image.Image:
    """Return the colours of an image as `rgb_of` does, rounded to an RGB image of eight bits per channel."""
    if _is_deep(image):
        return Image.fromarray(np.rint(_deep_grey(image) * np.float32(255)).astype(np.uint8)).convert("RGB")
    return _in_srgb(image)


def alpha_of(image: Image.Image) -> NDArray[np.float32] | None:
    """Return the opacity of an image, `[height, width]`; None if it has no transparency."""
    if not image.has_transparency_data:
        return None
    if _is_deep(image):
        return np.asarray(np.asarray(image) != image.info["transparency"], np.float32)
    return np.asarray(image.convert("RGBA").getchannel("A"), np.float32) / np.float32(255)


def _is_deep(image: Image.Image) -> bool:
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def _deep_grey(image: Image.Image) -> NDArray[np.float32]:
    """Scale to 1 for white: 65535, or 1.0 in float, or the brightest pixel where one is brighter."""
    grey = np.asarray(image, np.float64)
    grey = np.where(np.isfinite(grey), grey, 0)
    white = max(1.0 if image.mode == "F" else 65535.0, grey.max(initial=0))
    return np.asarray(np.clip(grey / white, 0, 1), np.float32)


def _in_srgb(image: Image.Image) -> Image.Image:
    converted = image.convert(_PROFILED.get(image.mode, "RGB"))
    profile = image.info.get("icc_profile")
    if profile:
        try:
            own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(converted, own, _SRGB, outputMode="RGB") or converted
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
            log.info("icc_profile_ignored", mode=image.mode, reason=str(error))
    return converted.convert("RGB")
