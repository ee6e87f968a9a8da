"""The sizes a picture passes through, coarse to fine; pure, so that a request can be judged before it is queued.

Sizes are `(height, width)` in pixels, as arrays have them; images in the database and the API say (width, height).

Invariant: the last scale is exactly the size asked for, whatever the factor between scales.
"""

from __future__ import annotations

from collections.abc import Iterable

from shared.errors import InvalidParams
from shared.painting.params import LEAST_PX, StyleParams

#: (height, width).
Size = tuple[int, int]


def fitted(shape: tuple[int, ...], long_side: int) -> tuple[int, int]:
    """Scale (height, width, …) so that the long side becomes `long_side`, rounding down as the recipe does."""
    height, width = shape[:2]
    longest = max(height, width)
    return height * long_side // longest, width * long_side // longest


def long_sides(params: StyleParams, content: tuple[int, ...], styles: Iterable[tuple[int, ...]] = ()) -> list[int]:
    """List the long side of each scale, ascending by about `scale_factor` and ending at the size asked for.

    `content` and `styles` are the shapes of the originals. Starts above `start_size` where one of them would
    become too narrow for VGG19; raises `InvalidParams` where it is too narrow even at the last scale.
    """
    last = params.size or max(content[:2])
    least = max(_least_side(content, 1.0), *(_least_side(style, params.style_scale) for style in styles), LEAST_PX)
    if least > last:
        raise InvalidParams(
            f"At size {last} a picture this narrow has a side under {LEAST_PX} px; {least} is the least size.",
            parameter="size",
            least=least,
        )
    start = min(max(params.start_size, least), last) if params.start_size else last
    sides, side = [], float(start)
    # a scale closer to the last one than half a factor would cost as much and add nothing
    while side * params.scale_factor**0.5 < last:
        sides.append(round(side))
        side *= params.scale_factor
    return [*sides, last]


def scale_sizes(params: StyleParams, content: tuple[int, ...], styles: Iterable[tuple[int, ...]] = ()) -> list[Size]:
    """List the size that the content has at each scale; raise as `long_sides`, and of the same shapes."""
    return [fitted(content, side) for side in long_sides(params, content, styles)]


def work(params: StyleParams, content: tuple[int, ...], styles: Iterable[tuple[int, ...]] = ()) -> int:
    """Return what painting is, in px·steps: the pixels of each scale, times its steps. Raises as `long_sides`."""
    return params.steps * sum(height * width for height, width in scale_sizes(params, content, styles))


def style_side(side: int, style_scale: float) -> int:
    """Give a style image's long side where the content's is `side`."""
    return max(1, round(side * style_scale))


def _least_side(shape: tuple[int, ...], scale: float) -> int:
    """Give the least long side of the content at which a picture of `shape`, at `scale`, is `LEAST_PX` wide."""
    least = -(-LEAST_PX * max(shape[:2]) // min(shape[:2]))
    side = int(least / scale)
    while fitted(shape, style_side(side, scale))[0] < LEAST_PX or fitted(shape, style_side(side, scale))[1] < LEAST_PX:
        side += 1
    return side
