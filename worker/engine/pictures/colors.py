"""Colour control: a style recoloured to the content, or the content's colours kept.

Plain numpy on images `[height, width, 3]`, RGB in 0 to 1. Source: Gatys et al. 2017, Controlling Perceptual Factors in
Neural Style Transfer, section 5: luminance-only transfer (5.1) and colour histogram matching (5.2), the latter with
the symmetric square root of "Image Analogies", and after it, if asked, with the histogram of each channel. Luminance is
the luma of YIQ, Rec. 601.

Differs from the source: a direction in which the style's colours do not vary is left unscaled, so that grey and flat
styles work.

Invariant: every result is float32 in 0 to 1.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.imaging.codec import LUMA
from worker.engine.types import Picture

#: Standard deviation below which the variation of an eight-bit image is rounding.
_MIN_DEVIATION = 1 / 255


def match_colors(style: Picture, content: Picture) -> Picture:
    """Recolour `style` so that its pixels have the mean and the covariance of the content's."""
    return _clipped(_matched(style, content))


def _matched(style: Picture, content: Picture) -> NDArray[np.float32]:
    """Recolour as `match_colors`, to values that may lie outside 0 to 1."""
    source, target = (image.reshape(-1, 3) for image in (style, content))
    mean, target_mean = (rows.mean(axis=0, dtype=np.float64) for rows in (source, target))
    values, axes = np.linalg.eigh(_covariance(target, target_mean))
    root = _from_eigen(np.sqrt(np.maximum(values, 0)), axes)
    values, axes = np.linalg.eigh(_covariance(source, mean))
    whitening = _from_eigen(1 / np.sqrt(np.maximum(values, _MIN_DEVIATION**2)), axes)
    # rows are colours, so the matrices stand on the right and transposed
    transform = (root @ whitening).T.astype(np.float32)
    recolored = (source - mean.astype(np.float32)) @ transform + target_mean.astype(np.float32)
    return np.asarray(recolored.reshape(style.shape), np.float32)


def match_histograms(style: Picture, content: Picture) -> Picture:
    """Recolour `style` so that each channel has the histogram of the content's.

    The channels are matched after mean and covariance, which leaves them about as correlated as the content's.
    """
    matched = _matched(style, content)
    return np.stack([_with_histogram(matched[..., c], content[..., c]) for c in range(3)], axis=-1)


def to_grey(image: Picture) -> Picture:
    """Return the luminance in all three channels."""
    return _clipped(np.repeat(_luma(image), 3, axis=-1))


def match_luminance(style: Picture, content: Picture) -> Picture:
    """Return the style in grey, its luminance with the mean and the standard deviation of the content's."""
    luma, target = (_luma(image).astype(np.float64) for image in (style, content))
    scaled = (luma - luma.mean()) * (target.std() / max(luma.std(), _MIN_DEVIATION)) + target.mean()
    return _clipped(np.repeat(scaled, 3, axis=-1))


def restore_colors(painted: Picture, content: Picture) -> Picture:
    """Combine the luminance of `painted` with the chroma (I and Q) of `content`, which has the same size."""
    # adding the same to R, G and B changes Y alone
    return _clipped(content + (_luma(painted) - _luma(content)))


def _with_histogram(channel: NDArray[np.float32], target: NDArray[np.float32]) -> NDArray[np.float32]:
    """Replace each value by the target's value of the same rank; equal values stay equal."""
    _, places, counts = np.unique(channel, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - 0.5 * counts) / channel.size
    ordered = np.sort(target, axis=None)
    known = (np.arange(ordered.size) + 0.5) / ordered.size
    return np.interp(ranks, known, ordered).astype(np.float32)[places].reshape(channel.shape)


def _luma(image: Picture) -> NDArray[np.float32]:
    """Return the luma `[height, width, 1]`."""
    return (image @ LUMA)[..., np.newaxis]


def _covariance(rows: NDArray[np.float32], mean: NDArray[np.float64]) -> Any:
    centred = rows - mean.astype(np.float32)
    # summed in float64 without a float64 copy of the image
    return np.einsum("ni,nj->ij", centred, centred, dtype=np.float64) / len(rows)


def _from_eigen(values: NDArray[np.float64], axes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Build the symmetric matrix with these eigenvalues and eigenvectors."""
    return (axes * values) @ axes.T


def _clipped(image: NDArray[Any]) -> Picture:
    return np.asarray(np.clip(image, 0, 1), np.float32)


#: How a style is recoloured for each value of the parameter `colors` but `style`.
RECOLORINGS = {"match": match_colors, "histogram": match_histograms, "luminance": match_luminance}
