"""The cost of painting: memory and time, estimated from sizes and params before anything is painted.

Pure, so that the API's dry run and the engine's planner use the same numbers. The formulas count what the computation
holds and does; a `Capacity`, measured by each worker on its device, turns them into bytes and seconds.

Sizes are (height, width) in pixels. Limits: an estimate is for one worker process; it leaves out other programs.
"""

from bisect import bisect_left
from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from shared.errors import TooLarge
from shared.painting.params import StyleParams
from shared.painting.sizes import Size, fit_long_side, scale_sizes, steps_by_scale, style_long_side
from shared.painting.vgg19 import aligned, channels, deepest, halo, kernel_shapes, stride, up_to

#: The smallest side of a tile, in pixels: a smaller tile is nearly all halo.
MIN_TILE_PX = 128
#: Tiles of this side cost less than twice the untiled work: L-BFGS's history is shortened until they fit.
_GOOD_TILE_PX = 512
_ITEM_BYTES = {"float32": 4, "bfloat16": 2}
#: Temporaries of a step beside the stored activations, in bytes per pixel: the first block's gradients and Gram
#: products, float32 whatever the precision. Measured with TensorFlow 2.21 on a CPU.
_TEMPORARY_BYTES_PER_PX = 1700
#: What is held whatever the size: compiled functions, Gram matrices, kernels.
FIXED_BYTES = 100 * 2**20
#: Float32 RGB images held at the painted size: content, iterate, gradient, last finite image, result, and Adam's two
#: moments before and after an update. Tiles are updated in place, which saves three.
_ADAM_IMAGES = 9
_ADAM_IMAGES_TILED = 6
#: L-BFGS holds these beside two for each update of its history; in tiles the history is held twice during an update.
_LBFGS_IMAGES = 11
_MIN_HISTORY = 2
#: Bytes per pixel of a float32 RGB image.
_IMAGE_BYTES = 12
#: The work per pixel of a tile, in units of an untiled step: its activations are computed twice.
_TILED_WORK = 1.5
#: Bytes that the allocator takes for each byte in use, because of fragmentation.
_FRAGMENTATION = 1.1


class Capacity(BaseModel):
    """What one worker's device can do, as the worker measured it and stored it in its row."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    #: Bytes that the process may hold.
    memory_bytes: int = Field(gt=0)
    #: Bytes that the process holds before it paints a picture, except what the formula counts itself.
    base_bytes: int = Field(0, ge=0)
    #: What `auto` resolves to.
    precision: str = "float32"
    #: Measured peak over that of the formula, by precision.
    bytes_factor: dict[str, float] = Field(default_factory=dict)
    #: Measured speed in 10⁹ floating-point operations per second, by precision.
    gflop_per_s: dict[str, float] = Field(default_factory=lambda: {"float32": 100.0, "bfloat16": 100.0})

    def resolved(self, precision: str) -> str:
        """Resolve `auto` to the precision of this device."""
        return self.precision if precision == "auto" else precision


class Estimate(NamedTuple):
    """The predicted cost of a run. `tile_size` is that of the largest scale, 0 for none; `scales` are its sizes."""

    seconds: float
    peak_bytes: int
    tile_size: int
    scales: list[Size]


def estimate(params: StyleParams, content: Size, styles: list[Size], capacity: Capacity) -> Estimate:
    """Estimate a run on originals of these (height, width).

    Raises `InvalidParams` for an image too narrow, and `TooLarge`, with the largest `size` that fits, for one that
    `capacity` cannot hold even in the smallest tiles.
    """
    scales = scale_sizes(params, content, styles)
    originals = sum(height * width for height, width in (content, *styles)) * _IMAGE_BYTES
    params = fit_history(params, scales[-1], capacity)
    if originals + min_peak_bytes(params, scales[-1], capacity) > capacity.memory_bytes:
        largest = _largest(params, content, originals, capacity)
        raise TooLarge(
            f"No worker's memory holds an image of {max(scales[-1])} px, even in tiles; "
            + (f"the largest size that fits is {largest} px." if largest else "the uploaded images alone fill it."),
            size=max(scales[-1]),
            largest=largest,
        )
    tiles = [choose_tile(params, size, capacity, reserved=originals) for size in scales]
    precision = capacity.resolved(params.precision)
    work = sum(
        steps * step_gflop(params, size, tile=tile) + style_gflop(params, max(size), styles)
        for steps, size, tile in zip(steps_by_scale(params, len(scales)), scales, tiles, strict=True)
    )
    return Estimate(
        seconds=work / capacity.gflop_per_s.get(precision, 100.0),
        peak_bytes=originals
        + max(peak_bytes(params, size, capacity, tile=tile) for size, tile in zip(scales, tiles, strict=True)),
        tile_size=tiles[-1],
        scales=scales,
    )


def peak_bytes(params: StyleParams, size: Size, capacity: Capacity, *, batch: int = 1, tile: int = 0) -> int:
    """Predict the peak memory of a process that paints `batch` images of `size`, in tiles or whole."""
    factor = capacity.bytes_factor.get(capacity.resolved(params.precision), 1.0)
    held = formula_bytes(params, size, capacity.resolved(params.precision), batch=batch, tile=tile)
    return capacity.base_bytes + int(held * factor)


def formula_bytes(params: StyleParams, size: Size, precision: str, *, batch: int, tile: int) -> int:
    """Return the peak memory beyond the process's base, by the formula alone."""
    area = batch * size[0] * size[1]
    item = _ITEM_BYTES[precision]
    evaluated = batch * _evaluated_px(params, size, tile)
    activations = sum(channels(layer) / stride(layer) ** 2 for layer in up_to(deepest(_layers(params)))) * item
    targets = sum(channels(layer) / stride(layer) ** 2 for layer in params.content_layers) * item
    whole = area * (_image_count(params, tiled=tile > 0) * _IMAGE_BYTES + targets)
    return int(_FRAGMENTATION * (FIXED_BYTES + evaluated * (activations + _TEMPORARY_BYTES_PER_PX) + whole))


def _image_count(params: StyleParams, *, tiled: bool) -> int:
    """Return how many float32 RGB images are held at the painted size."""
    if params.optimizer == "lbfgs":
        return _LBFGS_IMAGES + (4 if tiled else 2) * params.lbfgs_history
    return _ADAM_IMAGES_TILED if tiled else _ADAM_IMAGES


def fit_history(params: StyleParams, size: Size, capacity: Capacity) -> StyleParams:
    """Shorten L-BFGS's history until an image of `size` fits in tiles of a good size."""
    tile = params.tile_size or (_GOOD_TILE_PX if max(size) > _GOOD_TILE_PX else 0)
    while (
        params.optimizer == "lbfgs"
        and params.lbfgs_history > _MIN_HISTORY
        and peak_bytes(params, size, capacity, tile=tile) > capacity.memory_bytes
    ):
        params = params.model_copy(update={"lbfgs_history": max(_MIN_HISTORY, params.lbfgs_history // 2)})
    return params


def min_peak_bytes(params: StyleParams, size: Size, capacity: Capacity) -> int:
    """Predict the peak memory for one image in the smallest tiles or whole, or in the tiles that the params ask for."""
    tile = params.tile_size or (MIN_TILE_PX if max(size) > MIN_TILE_PX else 0)
    return min(peak_bytes(params, size, capacity, tile=side) for side in {tile, params.tile_size})


def choose_tile(params: StyleParams, size: Size, capacity: Capacity, *, reserved: int = 0) -> int:
    """Return the side of the largest tiles that fit beside `reserved` bytes, 0 if the whole image does.

    Returns the smallest side if none fits.
    """
    if params.tile_size:
        return params.tile_size if params.tile_size < max(size) else 0
    room = capacity.memory_bytes - reserved
    if peak_bytes(params, size, capacity) <= room:
        return 0
    for count in range(2, ceil(max(size) / MIN_TILE_PX)):
        side = aligned(ceil(max(size) / count))
        if peak_bytes(params, size, capacity, tile=side) <= room:
            return side
    return MIN_TILE_PX


def step_gflop(params: StyleParams, size: Size, *, tile: int = 0) -> float:
    """Return the floating-point operations of a step, in 10⁹: forward and backward through every layer."""
    # each multiplication comes with an addition, and the gradient by the image costs as much as the forward pass
    per_px = 4 * _multiplications_per_px(params)
    if not tile:
        return per_px * size[0] * size[1] / 1e9
    tiles = ceil(size[0] / tile) * ceil(size[1] / tile)
    return per_px * _TILED_WORK * tiles * _evaluated_px(params, size, tile) / 1e9


def style_gflop(params: StyleParams, side: int, styles: Sequence[Size]) -> float:
    """Return the floating-point operations of evaluating the styles once, in 10⁹."""
    areas = (fit_long_side(style, style_long_side(side, params.style_scale)) for style in styles)
    return 2 * _multiplications_per_px(params) * sum(height * width for height, width in areas) / 1e9


def _multiplications_per_px(params: StyleParams) -> float:
    """Return the multiplications of one forward pass, per pixel of the image."""
    shapes = kernel_shapes()
    layers = up_to(deepest(_layers(params)))
    passes = sum(3 * 3 * shapes[layer][2] * shapes[layer][3] / stride(layer) ** 2 for layer in layers)
    grams = sum(channels(layer) ** 2 / stride(layer) ** 2 for layer in params.style_layers)
    return passes + grams


def _evaluated_px(params: StyleParams, size: Size, tile: int) -> int:
    """Return the pixels evaluated at once: those of the image, or of a tile with its halo."""
    if not tile:
        return size[0] * size[1]
    margin = 2 * halo(_layers(params), laplacian_pool=params.laplacian_pool if params.laplacian_weight else 0)
    return min(size[0], tile + margin) * min(size[1], tile + margin)


def _layers(params: StyleParams) -> list[str]:
    return [layer for layer, weight in {**params.content_layers, **params.style_layers}.items() if weight]


def _largest(params: StyleParams, content: Size, reserved: int, capacity: Capacity) -> int:
    """Return the largest `size` that fits in tiles; 0 if none does."""

    def is_too_large(side: int) -> bool:
        size = fit_long_side(content, side)
        return reserved + min_peak_bytes(fit_history(params, size, capacity), size, capacity) > capacity.memory_bytes

    return bisect_left(range(1, params.size or max(content)), True, key=is_too_large)
