"""Spatial control: a style's mask at the size painted, and as seen by each layer of the network.

Plain numpy. A position of a feature map sees beyond its own place, so a style would be measured by what lies across
the border of its region. The mask is therefore eroded, layer by layer, by the layer's receptive field.
Source: Gatys et al. 2017, Controlling Perceptual Factors in Neural Style Transfer, section 4.1.

Differs from the source: where erosion would leave little or nothing of a small region in a deep layer, the region is
eroded less, since a style that no deep layer sees is painted without its larger forms.

Invariant: a mask of ones stays ones in every layer; outside the image counts as inside the region.
"""

from collections.abc import Collection

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from shared.painting.vgg19 import block, receptive_radius, stride
from worker.engine.types import Mask

#: Fraction of a region that erosion must leave in every layer.
_MIN_AREA_LEFT = 0.25


def resize_mask(mask: Mask, size: tuple[int, int]) -> Mask:
    """Resize to (height, width) by averaging the exact area of each new pixel."""
    height, width = size
    return _resize_rows(_resize_rows(mask, height).T, width).T


def layer_masks(mask: Mask, layers: Collection[str], padding: str) -> dict[str, Mask]:
    """Return the mask `[height, width]` of an image for each layer, in the shape of its feature maps.

    It is pooled as the network pools: `zeros` padding drops an odd last row or column, `mirror` keeps it.
    """
    masks: dict[str, Mask] = {}
    depth, pooled = 1, mask
    for layer in sorted(layers, key=block):
        while depth < block(layer):
            depth, pooled = depth + 1, _pooled(pooled, padding)
        masks[layer] = _shrunk(pooled, erosion_radius(layer))
    return masks


def erosion_radius(layer: str) -> int:
    """Return by how many positions of `layer` a region is eroded so that none of it sees across its border.

    The receptive radius counts from a position's first pixel, which allows for a border within the position.
    """
    return -(-receptive_radius(layer) // stride(layer))


def _resize_rows(mask: Mask, length: int) -> Mask:
    """Resize along the first axis."""
    before = len(mask)
    if length == before:
        return mask
    sums = np.zeros((before + 1, mask.shape[1]))
    np.cumsum(mask, axis=0, out=sums[1:])
    # the integral at the edges of the new rows, linear within an old row
    edges = np.linspace(0, before, length + 1)
    whole = np.minimum(edges.astype(int), before - 1)
    integral = sums[whole] + (edges - whole)[:, np.newaxis] * (sums[whole + 1] - sums[whole])
    return np.asarray(np.diff(integral, axis=0) * (length / before), np.float32)


def _pooled(mask: Mask, padding: str) -> Mask:
    """Average blocks of 2 × 2; with mirrored borders an odd last row or column is averaged alone."""
    if padding == "mirror":
        mask = np.pad(mask, [(0, side % 2) for side in mask.shape], mode="edge")
    height, width = (side // 2 for side in mask.shape)
    blocks = mask[: 2 * height, : 2 * width].reshape(height, 2, width, 2)
    return np.asarray(blocks.mean(axis=(1, 3)), np.float32)


def _shrunk(mask: Mask, radius: int) -> Mask:
    """Erode by `radius` positions, or by as many as leave enough of the region."""
    required = _MIN_AREA_LEFT * mask.sum()
    for positions in range(radius, 0, -1):
        eroded = _erode_rows(_erode_rows(mask, positions).T, positions).T
        if eroded.sum() >= required:
            return eroded
    return mask


def _erode_rows(mask: Mask, radius: int) -> Mask:
    """Take the minimum over a window of 2 · radius + 1 along the first axis."""
    padded = np.pad(mask, [(radius, radius), (0, 0)], mode="edge")
    return np.asarray(sliding_window_view(padded, 2 * radius + 1, axis=0).min(axis=-1), np.float32)
