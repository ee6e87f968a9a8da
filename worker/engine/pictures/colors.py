"""Whose colours a painted picture has: the style's, the content's, or a style recoloured to the content.

Plain numpy over pictures `[height, width, 3]`, RGB in 0 to 1. Source: Gatys et al. 2017, Controlling Perceptual
Factors in Neural Style Transfer, section 5: luminance-only transfer (5.1) and colour histogram matching (5.2),
the latter with the symmetric root of "Image Analogies". Brightness is the luma of YIQ, Rec. 601.

Differs from the source: a direction in which the style's colours do not vary is left as it is, so that grey and
flat styles work.

Invariant: every result is float32 in 0 to 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.engine.types import Picture

#: Share of red, green and blue in the brightness.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
#: Standard deviation below which a picture holds nothing but the rounding of its bytes.
_FLAT = 1 / 255


def matched(style: Picture, content: Picture) -> Picture:
    """Recolour `style` so that its pixels have the mean and the covariance of the content's."""
    colours, goal = (picture.reshape(-1, 3) for picture in (style, content))
    mean, goal_mean = (rows.mean(axis=0, dtype=np.float64) for rows in (colours, goal))
    values, axes = np.linalg.eigh(_covariance(goal, goal_mean))
    root = _of_axes(np.sqrt(np.maximum(values, 0)), axes)
    values, axes = np.linalg.eigh(_covariance(colours, mean))
    whiten = _of_axes(1 / np.sqrt(np.maximum(values, _FLAT**2)), axes)
    # rows are colours, so the matrices stand on the right and transposed
    turn = (root @ whiten).T.astype(np.float32)
    return _clipped(((colours - mean.astype(np.float32)) @ turn + goal_mean.astype(np.float32)).reshape(style.shape))


def grey(picture: Picture) -> Picture:
    """Keep the brightness alone."""
    return _clipped(np.repeat(_luma(picture), 3, axis=-1))


def grey_matched(style: Picture, content: Picture) -> Picture:
    """Take the style's brightness, with the mean and the standard deviation of the content's."""
    luma, goal = (_luma(picture).astype(np.float64) for picture in (style, content))
    scaled = (luma - luma.mean()) * (goal.std() / max(luma.std(), _FLAT)) + goal.mean()
    return _clipped(np.repeat(scaled, 3, axis=-1))


def recoloured(painted: Picture, content: Picture) -> Picture:
    """Give `painted` the colours of `content`, which has its size: its brightness with their chroma (I and Q)."""
    # chroma is what a colour is beyond its grey
    return _clipped(content + (_luma(painted) - _luma(content)))


def _luma(picture: Picture) -> NDArray[np.float32]:
    """Weigh the channels: `[height, width, 1]`."""
    return (picture @ _LUMA)[..., np.newaxis]


def _covariance(rows: NDArray[np.float32], mean: NDArray[np.float64]) -> Any:
    centred = rows - mean.astype(np.float32)
    # summed in double precision without a second copy of the picture in it
    return np.einsum("ni,nj->ij", centred, centred, dtype=np.float64) / len(rows)


def _of_axes(values: NDArray[np.float64], axes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Build the symmetric matrix with these eigenvalues and eigenvectors."""
    return (axes * values) @ axes.T


def _clipped(picture: NDArray[Any]) -> Picture:
    return np.asarray(np.clip(picture, 0, 1), np.float32)
