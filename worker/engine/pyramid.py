"""The sizes a picture passes through, coarse to fine, and how it is brought to them.

Coarse scales fix the large shapes at a fraction of the cost and let strokes grow longer than VGG19 sees at full
size. Sizes are `(height, width)` in pixels here, as arrays have them.

Invariant: the last scale is exactly the size asked for, whatever the factor between scales.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from shared.errors import InvalidParams
from shared.params import StyleParams

#: The shortest side that still reaches the last block of VGG19, which sees it shrunk 16 times.
LEAST_PX = 16


def fitted(shape: tuple[int, ...], long_side: int) -> tuple[int, int]:
    """Scale (height, width, …) so that the long side becomes `long_side`, rounding down as the recipe does."""
    height, width = shape[:2]
    longest = max(height, width)
    return height * long_side // longest, width * long_side // longest


def long_sides(params: StyleParams, shapes: Iterable[tuple[int, ...]]) -> list[int]:
    """List the long side of each scale, ascending by about `scale_factor` and ending at `size`.

    Starts above `start_size` where one of the pictures with these `shapes` would become too narrow for VGG19;
    raises `InvalidParams` where it is too narrow even at `size`.
    """
    least = max(-(-LEAST_PX * max(shape[:2]) // min(shape[:2])) for shape in shapes)
    if least > params.size:
        raise InvalidParams(
            f"At size {params.size} a picture this narrow has a side under {LEAST_PX} px; {least} is the least size.",
            parameter="size",
            least=least,
        )
    start = min(max(params.start_size, least), params.size) if params.start_size else params.size
    sides, side = [], float(start)
    # a scale closer to the last one than half a factor would cost as much and add nothing
    while side * params.scale_factor**0.5 < params.size:
        sides.append(round(side))
        side *= params.scale_factor
    return [*sides, params.size]


def resized(picture: Any, size: tuple[int, int], *, antialias: bool) -> Any:
    """Resize `[height, width, 3]` bilinearly into a batch of one.

    With `antialias` a pixel averages all that falls into it; without, it samples four, as the recipe does.
    """
    return tf.image.resize(picture[tf.newaxis], size, method="bilinear", antialias=antialias)
