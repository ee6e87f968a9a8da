"""The sizes of the scales, coarse to fine. Pure, so that a request can be checked before it is queued.

Sizes are `(height, width)` in pixels, as in arrays; the database and the API use (width, height).

Invariant: the last scale is exactly the size asked for, whatever the factor between scales.
"""

from collections.abc import Iterable

from shared.errors import InvalidParams
from shared.painting.params import MIN_SIDE_PX, StyleParams

#: (height, width).
Size = tuple[int, int]


def fit_long_side(shape: tuple[int, ...], long_side: int) -> tuple[int, int]:
    """Scale (height, width, …) to a long side of `long_side`, rounding down as the published recipe does."""
    height, width = shape[:2]
    longest = max(height, width)
    return height * long_side // longest, width * long_side // longest


def long_sides(params: StyleParams, content: tuple[int, ...], styles: Iterable[tuple[int, ...]] = ()) -> list[int]:
    """Return the long side of each scale, growing by about `scale_factor` up to the size asked for.

    `content` and `styles` are the shapes of the originals. The first scale is above `start_size` where one of them
    would be too narrow for VGG19; raises `InvalidParams` if one is too narrow even at the last scale.
    """
    last = params.size or max(content[:2])
    least = max(_min_size(content, 1.0), *(_min_size(style, params.style_scale) for style in styles), MIN_SIDE_PX)
    if least > last:
        raise InvalidParams(
            f"At size {last} an image has a side under {MIN_SIDE_PX} px; the smallest possible size is {least}.",
            parameter="size",
            least=least,
        )
    start = min(max(params.start_size, least), last) if params.start_size else last
    sides, side = [], float(start)
    # a scale within half a factor of the last one would cost almost as much and add nothing
    while side * params.scale_factor**0.5 < last:
        sides.append(round(side))
        side *= params.scale_factor
    return [*sides, last]


def scale_sizes(params: StyleParams, content: tuple[int, ...], styles: Iterable[tuple[int, ...]] = ()) -> list[Size]:
    """Return the content's size at each scale. Arguments and errors as in `long_sides`."""
    return [fit_long_side(content, side) for side in long_sides(params, content, styles)]


def work(params: StyleParams, content: tuple[int, ...], styles: Iterable[tuple[int, ...]] = ()) -> int:
    """Return the work of painting in px·steps: pixels times steps, over all scales. Raises as `long_sides`."""
    sizes = scale_sizes(params, content, styles)
    return sum(
        steps * height * width for steps, (height, width) in zip(steps_by_scale(params, len(sizes)), sizes, strict=True)
    )


def steps_by_scale(params: StyleParams, scales: int) -> list[int]:
    """Return the number of updates at each of `scales` scales."""
    coarse = max(1, round(params.steps * params.coarse_steps_factor))
    return [*[coarse] * (scales - 1), params.steps]


def style_long_side(side: int, style_scale: float) -> int:
    """Return the long side of a style image where the content's is `side`."""
    return max(1, round(side * style_scale))


def _min_size(shape: tuple[int, ...], scale: float) -> int:
    """Return the smallest size at which an image of `shape`, at `scale`, has both sides of at least `MIN_SIDE_PX`."""
    least = -(-MIN_SIDE_PX * max(shape[:2]) // min(shape[:2]))
    side = int(least / scale)
    while min(fit_long_side(shape, style_long_side(side, scale))) < MIN_SIDE_PX:
        side += 1
    return side
