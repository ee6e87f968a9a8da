"""Steps whose gradient is added up from tiles, so that a picture of any size fits a bounded memory.

Two passes: the first evaluates each tile with a halo around it and adds up the sums over its interior; with them the
losses are known, and how each sum pulls. The second evaluates each tile again and backpropagates that pull; the
gradient of the interior is kept. Pictures and the optimizer's state lie in the host's memory, and are updated a strip
at a time.

Exact: a pixel's gradient depends on the positions that see it, and their activations on what those see; with a
halo of that reach the tiles give what the whole picture gives, up to rounding. Tiles begin at multiples of 16 px so
that pooling pairs the same pixels. See `halo` for how wide it really must be.

Source: none published; the style loss depends on the picture through sums over positions alone (Gatys et al. 2016,
equation 3), and a sum's gradient is local.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from shared.vgg19 import deepest, receptive_radius, stride
from worker.engine import losses
from worker.engine.network import Network
from worker.engine.objective import (
    PICTURES,
    Objective,
    Recipe,
    Sums,
    Targets,
    Weights,
    cropped,
    sums_spec,
    targets_spec,
    weights_spec,
)
from worker.engine.steps import Picture

#: What VGG19's last block shrinks by: tiles begin at its multiples.
ALIGNMENT_PX = 16
#: Beyond any picture: the box of a tile at the border takes all that is left.
_END = 2**30
_BOX = tf.TensorSpec([4], tf.int32)


class Tile(NamedTuple):
    """A rectangle of a picture with its halo, `top:bottom, left:right`, and the box in it that counts, from its top."""

    top: int
    left: int
    bottom: int
    right: int
    box: tuple[int, int, int, int]

    def of(self, maps: Any, step: int = 1) -> Any:
        """Cut the tile out of maps `[any, height, width, …]`, of which a position stands for `step` pixels."""
        rows, columns = (slice(a // step, -(-b // step)) for a, b in ((self.top, self.bottom), (self.left, self.right)))
        return maps[:, rows, columns]


def halo(layers: Collection[str]) -> int:
    """Tell how many pixels around a tile must be evaluated with it."""
    reach = receptive_radius(deepest(layers))
    return -(-(reach + ALIGNMENT_PX // 2) // ALIGNMENT_PX) * ALIGNMENT_PX


def tiles(size: tuple[int, int], side: int, margin: int) -> list[Tile]:
    """Cut (height, width) into tiles of at most about `side` pixels, as even as can be, with `margin` around each."""
    rows, columns = _cuts(size[0], side), _cuts(size[1], side)
    found = []
    for top, bottom in rows:
        for left, right in columns:
            outer = max(0, top - margin), max(0, left - margin), min(size[0], bottom + margin), min(size[1], right + margin)
            box = (
                top - outer[0],
                left - outer[1],
                _END if bottom == size[0] else bottom - outer[0],
                _END if right == size[1] else right - outer[1],
            )
            found.append(Tile(*outer, box))
    return found


def _cuts(length: int, side: int) -> list[tuple[int, int]]:
    """Cut a length into even parts of at most `side`, where that is possible at multiples of the alignment."""
    count = max(1, -(-length // side))
    marks = [round(length * i / count / ALIGNMENT_PX) * ALIGNMENT_PX for i in range(count)]
    return list(zip(marks, [*marks[1:], length], strict=True))


class TileFunctions:
    """The compiled computation over tiles, of any size and number of pictures."""

    def __init__(self, network: Network, recipe: Recipe) -> None:
        """Prepare to compile at first use."""
        self._objective = Objective(network, recipe)
        targets, weights, sums = targets_spec(recipe), weights_spec(recipe), sums_spec(recipe)

        def compiled(body: Any, *signature: Any) -> Any:
            return tf.function(body, input_signature=signature, autograph=False)

        self.content = compiled(self._content, PICTURES, _BOX)
        self.gram_sums = compiled(self._gram_sums, PICTURES, _BOX)
        self.measure = compiled(self._objective.measure, PICTURES, targets, _BOX)
        self.weigh = compiled(self._weigh, sums, targets, weights)
        self.pull = compiled(self._pull, PICTURES, targets, sums, _BOX)

    def _content(self, tile: Any, box: Any) -> dict[str, Any]:
        """Evaluate the content layers inside the box."""
        features = self._objective.forward(tile)
        return {layer: cropped(features[layer], box, stride(layer)) for layer in self._objective.recipe.content_layers}

    def _gram_sums(self, tile: Any, box: Any) -> dict[str, Any]:
        """Add up the Gram matrices of the style layers inside the box."""
        features = self._objective.forward(tile)
        return {
            layer: losses.gram_sums(cropped(features[layer], box, stride(layer)))
            for layer in self._objective.recipe.style_layers
        }

    def _weigh(self, sums: Sums, targets: Targets, weights: Weights) -> tuple[Any, Sums]:
        """Turn a whole picture's sums into its losses `[batch, 4]`, and how the total changes with each sum."""
        with tf.GradientTape() as tape:
            tape.watch(sums)
            parts = self._objective.evaluate(sums, targets, weights)
            total = tf.reduce_sum(parts[:, 0])
        return parts, tape.gradient(total, sums, unconnected_gradients=tf.UnconnectedGradients.ZERO)

    def _pull(self, tile: Any, targets: Targets, pulls: Sums, box: Any) -> Any:
        """Backpropagate `pulls` through all of a tile; keep the gradient of the pixels inside the box."""
        with tf.GradientTape() as tape:
            tape.watch(tile)
            sums = self._objective.measure(tile, targets)
            pairs = zip(tf.nest.flatten(sums), tf.nest.flatten(pulls), strict=True)
            total = tf.add_n([tf.reduce_sum(value * pull) for value, pull in pairs])
        return cropped(tape.gradient(total, tile), box, 1)


@lru_cache(maxsize=8)
def tile_functions(network: Network, recipe: Recipe) -> TileFunctions:
    """Give the computation of `recipe`, compiled at its first use and kept for the jobs that follow."""
    return TileFunctions(network, recipe)


def content_maps(functions: TileFunctions, picture: Picture, cut: list[Tile]) -> dict[str, NDArray[Any]]:
    """Evaluate the content layers of `[1, height, width, 3]` tile by tile, and put them together on the host."""
    rows: dict[int, list[dict[str, Any]]] = {}
    for tile in cut:
        rows.setdefault(tile.top + tile.box[0], []).append(functions.content(tile.of(picture), tile.box))
    return {
        layer: np.concatenate([np.concatenate([part[layer] for part in row], axis=2) for row in rows.values()], axis=1)
        for layer in next(iter(rows.values()))[0]
    }


def grams(functions: TileFunctions, picture: Picture, cut: list[Tile]) -> dict[str, Any]:
    """Add up the Gram matrices of `[1, height, width, 3]`, and divide them by their positions."""
    total: dict[str, Any] = {}
    for tile in cut:
        for layer, sums in functions.gram_sums(tile.of(picture), tile.box).items():
            total[layer] = total.get(layer, 0.0) + sums
    return total


def gradient(
    functions: TileFunctions, picture: Picture, targets: Targets, weights: Weights, cut: list[Tile]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the losses `[1, 4]` of a picture `[1, height, width, 3]` and their gradient, of its shape."""
    sums = None
    for tile in cut:
        part = functions.measure(tile.of(picture), _of_tile(targets, tile), tile.box)
        sums = part if sums is None else tf.nest.map_structure(tf.add, sums, part)
    parts, pulls = functions.weigh(sums, targets, weights)
    found = np.empty(picture.shape, np.float32)
    for tile in cut:
        inner = functions.pull(tile.of(picture), _of_tile(targets, tile), pulls, tile.box).numpy()
        top, left = tile.top + tile.box[0], tile.left + tile.box[1]
        found[:, top : top + inner.shape[1], left : left + inner.shape[2]] = inner
    return parts.numpy(), found


def _of_tile(targets: Targets, tile: Tile) -> Targets:
    return targets._replace(
        content={layer: tile.of(maps, stride(layer)) for layer, maps in targets.content.items()},
        masks={layer: tile.of(maps, stride(layer)) for layer, maps in targets.masks.items()},
    )
