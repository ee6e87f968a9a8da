"""Oklab, a colour space in which equal distances look about equal, and mixing two colours keeps their hue.

Source: Björn Ottosson 2020, A perceptual color space for image processing; sRGB's transfer function is that of
IEC 61966-2-1. Images are float32 `[…, 3]`: sRGB in 0 to 1, or lightness, a and b.
"""

import numpy as np
from numpy.typing import NDArray

Planes = NDArray[np.float32]

#: From linear sRGB to the cones' responses, and from their cube roots to lightness, a and b.
_TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ],
    np.float32,
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ],
    np.float32,
)
_FROM_CONES, _FROM_LAB = np.linalg.inv(_TO_CONES).astype(np.float32), np.linalg.inv(_TO_LAB).astype(np.float32)


def from_srgb(rgb: Planes) -> Planes:
    """Convert sRGB to Oklab."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return np.asarray(np.cbrt(linear @ _TO_CONES.T) @ _TO_LAB.T, np.float32)


def to_srgb(lab: Planes) -> Planes:
    """Convert Oklab to sRGB; colours outside its gamut are clipped."""
    linear = np.clip((lab @ _FROM_LAB.T) ** 3 @ _FROM_CONES.T, 0, 1)
    return np.asarray(np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055), np.float32)


def blend(first: Planes, second: Planes, share: float) -> Planes:
    """Mix two sRGB images `[height, width, 3]` of one size, with a `share` of 0 to 1 of the second.

    All of one image is that image, bit for bit. The temporaries take about eight times the memory of an image.
    """
    if share in (0, 1):
        return second if share else first
    return to_srgb((1 - share) * from_srgb(first) + share * from_srgb(second))
