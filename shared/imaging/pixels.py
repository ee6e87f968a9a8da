"""Converts every kind of pixel to float32 RGB in 0 to 1, in sRGB, and alpha.

Deep grey (more than eight bits, or float) keeps its depth; everything else has eight bits per channel. An ICC profile
is applied; one that is broken, or for another mode, is ignored and logged.

Invariant: no mode in which `shared.imaging.formats` loads an image raises.
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
        return _deep_colours(image)
    return np.asarray(_in_srgb(image), np.float32) / np.float32(255)


def eight_bit_of(image: Image.Image) -> Image.Image:
    """Return the colours of an image as `rgb_of` does, rounded to an RGB image of eight bits per channel."""
    if _is_deep(image):
        return Image.fromarray(np.rint(_deep_colours(image) * np.float32(255)).astype(np.uint8))
    return _in_srgb(image)


def alpha_of(image: Image.Image) -> NDArray[np.float32] | None:
    """Return the opacity of an image, `[height, width]`; None if it has no transparency."""
    if not image.has_transparency_data:
        return None
    if _is_deep(image):
        return np.asarray(np.asarray(image) != image.info["transparency"], np.float32)
    return np.asarray(image.convert("RGBA").getchannel("A"), np.float32) / np.float32(255)


def is_transparent(image: Image.Image) -> bool:
    """Return whether an image is transparent everywhere."""
    if not image.has_transparency_data:
        return False
    if _is_deep(image):
        return bool((np.asarray(image) == image.info["transparency"]).all())
    return image.convert("RGBA").getchannel("A").getextrema() == (0, 0)


def without_palette(image: Image.Image) -> Image.Image:
    """Return an image of colours for one of a palette, so that it can be resized; others as they are."""
    if image.mode not in ("P", "PA"):
        return image
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _is_deep(image: Image.Image) -> bool:
    return image.mode == "F" or image.mode.startswith("I;16")


def _deep_colours(image: Image.Image) -> NDArray[np.float32]:
    """Return the colours of grey in floats, or in sixteen bits of which 65535 is white."""
    grey = np.asarray(image, np.float32)
    if image.mode != "F":
        grey = grey / np.float32(65_535)
    if not image.info.get("icc_profile"):
        return np.repeat(grey[..., np.newaxis], 3, axis=2)
    # profiles are applied to eight bits only: what becomes of those is interpolated
    return np.stack([_interpolated(grey, levels) for levels in _grey_levels(image.info["icc_profile"]).T], axis=-1)


def _interpolated(grey: NDArray[np.float32], levels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Map grey in 0 to 1 as 256 `levels` are, between the middles of those that are shown alike."""
    shown, counts = np.unique(levels, return_counts=True)
    if (np.diff(levels.astype(int)) < 0).any() or len(shown) < 2:
        return np.interp(grey, np.linspace(0, 1, 256), levels / 255).astype(np.float32)
    middles = (np.cumsum(counts) - (counts + 1) / 2) / 255
    middles[0], middles[-1] = 0, 1
    return np.interp(grey, middles, shown / 255).astype(np.float32)


def _in_srgb(image: Image.Image) -> Image.Image:
    profile, image = image.info.get("icc_profile"), without_palette(image)
    converted = image.convert(_PROFILED.get(image.mode, "RGB"))
    if profile and converted.mode == "L":
        return Image.merge("RGB", [converted.point(levels.tolist()) for levels in _grey_levels(profile).T])
    if profile:
        converted = _applied(profile, converted)
    return converted.convert("RGB")


def _grey_levels(profile: bytes) -> NDArray[np.uint8]:
    """Return what a profile shows of each level of grey, `[256, 3]`."""
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[np.newaxis])
    levels: NDArray[np.uint8] = np.asarray(_applied(profile, ramp).convert("RGB"))[0]
    return levels


def _applied(profile: bytes, image: Image.Image) -> Image.Image:
    """Return an image in sRGB, or itself if the profile cannot be applied to it."""
    # the shortcuts for grey are far off where it is dark
    flags = ImageCms.Flags.NOOPTIMIZE if image.mode == "L" else ImageCms.Flags.NONE
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.profileToProfile(image, own, _SRGB, outputMode="RGB", flags=flags) or image
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        log.info("icc_profile_ignored", mode=image.mode, reason=str(error))
        return image
