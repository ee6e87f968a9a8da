"""What painting a picture costs: memory and time, estimated from its shape before anything is painted.

Pure, so that the API can answer a dry run and the engine can plan by the same numbers. The formulas count what
the computation holds and does; a `Capacity`, measured by each worker on its own device, turns them into bytes and
seconds.

Sizes are (height, width) in pixels. Limits: an estimate is for one process that paints one message's pictures; other
programs' memory is not in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from shared.errors import TooLarge
from shared.painting.params import StyleParams
from shared.painting.sizes import Size, fitted, scale_sizes, style_side
from shared.painting.vgg19 import aligned, channels, deepest, halo, kernel_shapes, stride, up_to

#: The smallest tile worth cutting, in pixels: below it nearly all is halo.
LEAST_TILE_PX = 128
#: Tiles of this side cost less than twice the untiled work: better than a long history in smaller ones.
_GOOD_TILE_PX = 512
_ITEM_BYTES = {"float32": 4, "bfloat16": 2}
#: What a step holds for a moment beside the activations that it keeps, in bytes a pixel: the first block's gradients
#: and Gram products, which are float32 whatever the precision. Measured with TensorFlow 2.21 on a CPU.
_PASSING_BYTES = 1700
#: What is held whatever the picture: the compiled computation, Gram matrices, the kernels as the device wants them.
_FIXED_BYTES = 100 * 2**20
#: Pictures of float32 RGB held at the painted size: content, iterate, gradient, last good, the one shown, and Adam's
#: moments before and after an update. Tiles are updated in place, so that the last three are not held.
_ADAM_ARRAYS = 9
_ADAM_ARRAYS_TILED = 6
#: L-BFGS keeps two for each update that it remembers, and these beside them. In tiles it holds them twice while
#: an update is made.
_LBFGS_ARRAYS = 11
#: The shortest history still worth its name.
_LEAST_HISTORY = 2
_ARRAY_BYTES = 12
#: The passes over a tile, in units of an untiled step: its activations are computed twice.
_TILED_WORK = 1.5
#: What the allocator cannot use of what it holds, being in pieces.
_FRAGMENTS = 1.1


class Capacity(BaseModel):
    """What one worker's device can do, as it measured itself and tells in its row."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    #: Most bytes that the process may take.
    memory_bytes: int = Field(gt=0)
    #: What the process takes before any picture.
    base_bytes: int = Field(0, ge=0)
    #: What `auto` stands for.
    precision: str = "float32"
    #: Measured peaks over those of the formula, by precision.
    bytes_factor: dict[str, float] = Field(default_factory=dict)
    #: 10⁹ floating-point operations a second, by precision.
    gflop_per_s: dict[str, float] = Field(default_factory=lambda: {"float32": 100.0, "bfloat16": 100.0})

    def resolved(self, precision: str) -> str:
        """Turn `auto` into the precision that this device takes."""
        return self.precision if precision == "auto" else precision


class Estimate(NamedTuple):
    """What a run is predicted to take; `tile_size` is 0 where no scale needs tiles."""

    seconds: float
    peak_bytes: int
    tile_size: int
    scales: list[Size]


def estimate(params: StyleParams, content: Size, styles: list[Size], capacity: Capacity) -> Estimate:
    """Estimate a run over originals of these (height, width).

    Raises `InvalidParams` for a picture too narrow and `TooLarge`, with the largest `size` that would fit, for one
    that `capacity` cannot hold even in the smallest tiles.
    """
    scales = scale_sizes(params, content, styles)
    originals = sum(height * width for height, width in (content, *styles)) * _ARRAY_BYTES
    params = remembering(params, scales[-1], capacity)
    if originals + least_bytes(params, scales[-1], capacity) > capacity.memory_bytes:
        largest = _largest(params, content, originals, capacity)
        raise TooLarge(
            f"No memory holds a picture of {max(scales[-1])} px, even in tiles; "
            + (f"{largest} px is the most." if largest else "the uploaded pictures alone fill it."),
            size=max(scales[-1]),
            largest=largest,
        )
    tiles = [tile_for(params, size, capacity, reserved=originals) for size in scales]
    precision = capacity.resolved(params.precision)
    work = sum(
        params.steps * step_gflop(params, size, tile=tile) + style_gflop(params, max(size), styles)
        for size, tile in zip(scales, tiles, strict=True)
    )
    return Estimate(
        seconds=work / capacity.gflop_per_s.get(precision, 100.0),
        peak_bytes=originals
        + max(peak_bytes(params, size, capacity, tile=tile) for size, tile in zip(scales, tiles, strict=True)),
        tile_size=tiles[-1],
        scales=scales,
    )


def peak_bytes(params: StyleParams, size: Size, capacity: Capacity, *, batch: int = 1, tile: int = 0) -> int:
    """Predict the most bytes that a process holds while it paints `batch` pictures of `size`, in tiles or whole."""
    factor = capacity.bytes_factor.get(capacity.resolved(params.precision), 1.0)
    held = formula_bytes(params, size, capacity.resolved(params.precision), batch=batch, tile=tile)
    return capacity.base_bytes + int(held * factor)


def formula_bytes(params: StyleParams, size: Size, precision: str, *, batch: int, tile: int) -> int:
    """Count what is held beside the process itself, by the formula alone."""
    area = batch * size[0] * size[1]
    item = _ITEM_BYTES[precision]
    at_once = batch * _outer_area(params, size, tile)
    kept = sum(channels(layer) / stride(layer) ** 2 for layer in up_to(deepest(_layers(params)))) * item
    maps = sum(channels(layer) / stride(layer) ** 2 for layer in params.content_layers) * item
    whole = area * (_arrays(params, tiled=tile > 0) * _ARRAY_BYTES + maps)
    return int(_FRAGMENTS * (_FIXED_BYTES + at_once * (kept + _PASSING_BYTES) + whole))


def _arrays(params: StyleParams, *, tiled: bool) -> int:
    """Count the pictures of float32 RGB that the optimizer and its surroundings hold."""
    if params.optimizer == "lbfgs":
        return _LBFGS_ARRAYS + (4 if tiled else 2) * params.lbfgs_history
    return _ADAM_ARRAYS_TILED if tiled else _ADAM_ARRAYS


def remembering(params: StyleParams, size: Size, capacity: Capacity) -> StyleParams:
    """Shorten L-BFGS's history until a picture of `size` fits in tiles of a good size; unchanged where it does."""
    tile = params.tile_size or (_GOOD_TILE_PX if max(size) > _GOOD_TILE_PX else 0)
    while (
        params.optimizer == "lbfgs"
        and params.lbfgs_history > _LEAST_HISTORY
        and peak_bytes(params, size, capacity, tile=tile) > capacity.memory_bytes
    ):
        params = params.model_copy(update={"lbfgs_history": max(_LEAST_HISTORY, params.lbfgs_history // 2)})
    return params


def least_bytes(params: StyleParams, size: Size, capacity: Capacity) -> int:
    """Predict what painting one picture takes in the smallest tiles, or in those that the params demand."""
    tile = params.tile_size or (LEAST_TILE_PX if max(size) > LEAST_TILE_PX else 0)
    return min(peak_bytes(params, size, capacity, tile=side) for side in {tile, params.tile_size})


def tile_for(params: StyleParams, size: Size, capacity: Capacity, *, reserved: int = 0) -> int:
    """Choose the largest tiles that fit beside `reserved` bytes; 0 where the picture fits whole.

    Returns the smallest where none fits.
    """
    if params.tile_size:
        return params.tile_size if params.tile_size < max(size) else 0
    room = capacity.memory_bytes - reserved
    if peak_bytes(params, size, capacity) <= room:
        return 0
    for count in range(2, ceil(max(size) / LEAST_TILE_PX)):
        side = aligned(ceil(max(size) / count))
        if peak_bytes(params, size, capacity, tile=side) <= room:
            return side
    return LEAST_TILE_PX


def step_gflop(params: StyleParams, size: Size, *, tile: int = 0) -> float:
    """Count the floating-point operations of a step, in 10⁹: there and back through every layer."""
    per_px = 4 * _multiplications(params)
    if not tile:
        return per_px * size[0] * size[1] / 1e9
    tiles = ceil(size[0] / tile) * ceil(size[1] / tile)
    return per_px * _TILED_WORK * tiles * _outer_area(params, size, tile) / 1e9


def style_gflop(params: StyleParams, side: int, styles: Sequence[Size]) -> float:
    """Count the operations of evaluating the styles once, in 10⁹."""
    areas = (fitted(style, style_side(side, params.style_scale)) for style in styles)
    return 2 * _multiplications(params) * sum(height * width for height, width in areas) / 1e9


def _multiplications(params: StyleParams) -> float:
    """Count those of one pass, for each pixel of the picture."""
    shapes = kernel_shapes()
    layers = up_to(deepest(_layers(params)))
    passes = sum(9 * shapes[layer][2] * shapes[layer][3] / stride(layer) ** 2 for layer in layers)
    grams = sum(channels(layer) ** 2 / stride(layer) ** 2 for layer in params.style_layers)
    return passes + grams


def _outer_area(params: StyleParams, size: Size, tile: int) -> int:
    """Count the pixels evaluated at once: the picture, or a tile with its halo."""
    if not tile:
        return size[0] * size[1]
    margin = 2 * halo(_layers(params))
    return min(size[0], tile + margin) * min(size[1], tile + margin)


def _layers(params: StyleParams) -> list[str]:
    return [layer for layer, weight in {**params.content_layers, **params.style_layers}.items() if weight]


def _largest(params: StyleParams, content: Size, reserved: int, capacity: Capacity) -> int:
    """Find the largest `size` that fits in tiles, by halving; 0 if none does."""
    fits, too_large = 0, params.size or max(content)
    while too_large - fits > 1:
        side = (fits + too_large) // 2
        size = fitted(content, side)
        if reserved + least_bytes(remembering(params, size, capacity), size, capacity) <= capacity.memory_bytes:
            fits = side
        else:
            too_large = side
    return fits
