"""Fills transparent places with the colours around them.

A program that writes transparency leaves any colours beneath it, and they must count for nothing. Each place that
nothing shows gets the mean of the visible colours near it, near being as small a square as holds any.

Source: Gortler et al. 1996, The Lumigraph, section 3.4 (push-pull).

Invariant: what is filled depends on visible colours alone, to the bit.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Pixels that are handled at once where all of an image would be.
_BAND_PX = 2**18

#: Sums of colours weighted by opacity, and of opacity: `[height, width, 4]`.
_Sums = NDArray[np.float32]


def fill_hidden(colours: NDArray[Any], opacity: NDArray[Any]) -> None:
    """Fill `colours` `[height, width, 3]`, in place, where `opacity` `[height, width]` is 0.

    The colours are floats or of eight bits, the opacity floats. Some place must be visible.
    """
    hidden = opacity == 0
    if not hidden.any():
        return
    levels = [_first_sums(colours, opacity)]
    while (levels[-1][..., 3] == 0).any():
        levels.append(_halved(levels[-1]))
    filled = _means(levels.pop())
    while levels:
        sums = levels.pop()
        finer = _means(sums)
        empty = sums[..., 3] == 0
        finer[empty] = _doubled(filled, sums.shape[:2])[empty]
        filled = finer
    _paste(colours, hidden, filled)


def _first_sums(colours: NDArray[Any], opacity: NDArray[Any]) -> _Sums:
    """Add up squares of 2 × 2 pixels, a band of them at a time."""
    height, width = opacity.shape
    sums = np.empty((-(-height // 2), -(-width // 2), 4), np.float32)
    for rows in _bands(height, width):
        weighted = np.empty((*opacity[rows].shape, 4), np.float32)
        weighted[..., 3] = opacity[rows]
        np.multiply(colours[rows], weighted[..., 3:], out=weighted[..., :3])
        sums[rows.start // 2 : -(-rows.stop // 2)] = _halved(weighted)
    return sums


def _halved(sums: _Sums) -> _Sums:
    height, width = sums.shape[:2]
    if height % 2 or width % 2:
        sums = np.pad(sums, [(0, height % 2), (0, width % 2), (0, 0)])
    rows = sums[::2] + sums[1::2]
    return np.asarray(rows[:, ::2] + rows[:, 1::2], np.float32)


def _means(sums: _Sums) -> NDArray[np.float32]:
    """Return the mean colours `[height, width, 3]`, 0 where nothing is visible."""
    return np.asarray(sums[..., :3] / np.where(sums[..., 3:] == 0, np.float32(1), sums[..., 3:]), np.float32)


def _doubled(colours: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return colours at twice the resolution, cut to (height, width), interpolated between their squares' centres."""
    for axis in (0, 1):
        length = colours.shape[axis]
        places = np.arange(shape[axis])
        near = places // 2
        far = np.clip(near + np.where(places % 2, 1, -1), 0, length - 1)
        colours = np.float32(0.75) * colours.take(near, axis) + np.float32(0.25) * colours.take(far, axis)
    return colours


def _paste(colours: NDArray[Any], hidden: NDArray[np.bool_], filled: NDArray[np.float32]) -> None:
    """Fill the hidden pixels from `filled`, which has half their resolution."""
    height, width = hidden.shape
    for rows in _bands(height, width):
        own = hidden[rows]
        if own.any():
            # with the rows beside it, from which the first and the last are interpolated
            top = max(0, rows.start // 2 - 1)
            near = filled[top : rows.stop // 2 + 1]
            finer = _doubled(near, (2 * len(near), width))[rows.start - 2 * top :][: len(own)][own]
            colours[rows][own] = np.rint(finer) if colours.dtype == np.uint8 else finer


def _bands(height: int, width: int) -> list[slice]:
    """Cut the rows of an image into bands that begin at an even one."""
    rows = max(2, _BAND_PX // width // 2 * 2)
    return [slice(top, min(top + rows, height)) for top in range(0, height, rows)]
