"""Where a style is painted: its mask at the size painted, and as each layer of the network sees it.

Plain numpy. A layer's feature maps see further than their own place, so that a style would be measured by what lies
across the border of its region; the mask is therefore shrunk, layer by layer, by as far as the layer sees.
Source: Gatys et al. 2017, Controlling Perceptual Factors in Neural Style Transfer, section 4.1.

Differs from the source: in deep layers, where that would leave little or nothing of a small region, it is shrunk by
less, since a style that no deep layer sees is painted without its larger forms.

Invariant: a mask of ones stays ones everywhere; beyond the picture's border counts as inside.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from shared.errors import InvalidMask
from shared.painting.vgg19 import block, receptive_radius, stride
from worker.engine.types import Mask

#: What the darkest grey but one of an eight-bit picture is: a mask that is nowhere above it is empty.
_BLACK = 1 / 255
#: Share of a region that must be left of it in every layer.
_LEAST_LEFT = 0.25


def check(mask: Mask) -> None:
    """Raise `InvalidMask` for a mask of other than numbers, or in which nothing is to be painted."""
    if not np.isfinite(mask).all():
        raise InvalidMask("The mask holds values that are not finite.")
    if not (mask > _BLACK).any():
        raise InvalidMask("The mask is black everywhere, so its style would be painted nowhere.")


def fitted_mask(mask: Mask, size: tuple[int, int]) -> Mask:
    """Resize to (height, width), each place averaging exactly the area that falls into it."""
    height, width = size
    return _averaged(_averaged(mask, height).T, width).T


def layer_masks(mask: Mask, layers: Collection[str], padding: str) -> dict[str, Mask]:
    """Give the mask `[height, width]` of the picture for each layer, in the shape of its feature maps.

    Sees what the network sees: with `zeros` an odd last row or column is dropped by the pooling, with `mirror` not.
    """
    found: dict[str, Mask] = {}
    depth, seen = 1, mask
    for layer in sorted(layers, key=block):
        while depth < block(layer):
            depth, seen = depth + 1, _pooled(seen, padding)
        found[layer] = _shrunk(seen, reach(layer))
    return found


def reach(layer: str) -> int:
    """Tell by how many positions of `layer` a region must shrink, so that none of it sees across its border.

    The radius counts from a position's first pixel, which allows for a border in the midst of its place.
    """
    return -(-receptive_radius(layer) // stride(layer))


def _averaged(mask: Mask, length: int) -> Mask:
    """Resize along the first axis."""
    before = len(mask)
    if length == before:
        return mask
    sums = np.zeros((before + 1, mask.shape[1]))
    np.cumsum(mask, axis=0, out=sums[1:])
    # the integral at the new places' edges, linear within an old place
    edges = np.linspace(0, before, length + 1)
    whole = np.minimum(edges.astype(int), before - 1)
    integral = sums[whole] + (edges - whole)[:, np.newaxis] * (sums[whole + 1] - sums[whole])
    return np.asarray(np.diff(integral, axis=0) * (length / before), np.float32)


def _pooled(mask: Mask, padding: str) -> Mask:
    """Average blocks of 2 × 2 as the network's pooling does: with mirrored borders, an odd last row counts alone."""
    if padding == "mirror":
        mask = np.pad(mask, [(0, side % 2) for side in mask.shape], mode="edge")
    height, width = (side // 2 for side in mask.shape)
    blocks = mask[: 2 * height, : 2 * width].reshape(height, 2, width, 2)
    return np.asarray(blocks.mean(axis=(1, 3)), np.float32)


def _shrunk(mask: Mask, most: int) -> Mask:
    """Shrink by `most` positions, or by as many as leave enough of the region."""
    least = _LEAST_LEFT * mask.sum()
    for positions in range(most, 0, -1):
        left = _eroded(_eroded(mask, positions).T, positions).T
        if left.sum() >= least:
            return left
    return mask


def _eroded(mask: Mask, positions: int) -> Mask:
    """Take the least of all places that are at most so many away along the first axis."""
    beyond = np.pad(mask, [(positions, positions), (0, 0)], mode="edge")
    return np.asarray(sliding_window_view(beyond, 2 * positions + 1, axis=0).min(axis=-1), np.float32)
