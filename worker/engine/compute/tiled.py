"""Steps whose gradient is added up from tiles, so that a picture of any size fits a bounded memory.

Two passes: the first evaluates each tile with its halo and adds up the sums over its interior; with them the losses
are known, and how each sum pulls. The second evaluates each tile again and backpropagates that pull; the gradient of
the interior is kept. The picture and the optimizer's state lie in the host's memory and are updated in place.

Source: none published; the style loss depends on the picture through sums over positions alone (Gatys et al. 2016,
equation 3), and a sum's gradient is local.

Limits: one picture at a time. Invariant: an update happens only with losses and a gradient that are finite.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from shared.painting.vgg19 import halo, map_size, stride
from worker.engine.compute.tiles import Tile, tiles
from worker.engine.objective import losses
from worker.engine.objective.objective import (
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
from worker.engine.optimizers.state import OPTIMIZERS, Painting, Settings, updated
from worker.engine.vgg.network import Network

_BOX = tf.TensorSpec([4], tf.int32)
#: Values of a picture that are updated at once, so that the temporaries of an update stay small.
_STRIP_VALUES = 2**22


class _Functions:
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
        self.update = tf.function(OPTIMIZERS[recipe.optimizer].update, autograph=False, reduce_retracing=True)

    def _content(self, tile: Any, box: Any) -> dict[str, Any]:
        """Evaluate the content layers inside the box."""
        features = self._objective.forward(tile)
        return {layer: cropped(features[layer], box, stride(layer)) for layer in self._objective.recipe.content_layers}

    def _gram_sums(self, tile: Any, box: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Add up the Gram matrices of the style layers inside the box, and count their positions."""
        features = self._objective.forward(tile)
        inner = {layer: cropped(features[layer], box, stride(layer)) for layer in self._objective.recipe.style_layers}
        return (
            {layer: losses.gram_sums(maps) for layer, maps in inner.items()},
            {layer: losses.positions(maps) for layer, maps in inner.items()},
        )

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
def _functions(network: Network, recipe: Recipe) -> _Functions:
    """Give the computation of `recipe`, compiled at its first use and kept for the jobs that follow."""
    return _Functions(network, recipe)


class Tiled:
    """The computation over tiles of about `side` pixels; what `Whole` does, for one picture of any size."""

    def __init__(self, network: Network, recipe: Recipe, side: int) -> None:
        self._functions = _functions(network, recipe)
        self._recipe = recipe
        self._side = side
        self._halo = halo(recipe.layers)

    def content(self, pictures: Any) -> dict[str, Any]:
        """Evaluate the content layers tile by tile, and put them together on the host."""
        picture, maps = _on_host(pictures), dict[str, NDArray[Any]]()
        for tile in self._tiles(picture):
            inner = self._functions.content(tile.of(picture), tile.box)
            for layer, part in inner.items():
                place, size = tile.place(stride(layer)), self._map_size(picture, layer)
                maps.setdefault(layer, np.empty((1, *size, part.shape[-1]), part.dtype.as_numpy_dtype))[:, *place] = (
                    part
                )
        return maps

    def grams(self, pictures: Any) -> dict[str, Any]:
        """Correlate the style layers: `[1, c, c]` each."""
        picture = _on_host(pictures)
        parts = [self._functions.gram_sums(tile.of(picture), tile.box) for tile in self._tiles(picture)]
        return {
            layer: tf.add_n([sums[layer] for sums, _ in parts]) / tf.add_n([count[layer] for _, count in parts])
            for layer in self._recipe.style_layers
        }

    def advance(
        self, painting: Painting, targets: Targets, settings: Settings, *, first: int, before: int, count: int
    ) -> tuple[Painting, NDArray[np.float32]]:
        """Make up to `count` updates in place; return the painting and the losses `[at most count, 1, 4]`.

        It ends with the step whose losses or gradient are not finite.
        """
        if OPTIMIZERS[self._recipe.optimizer].by_pixel:
            painting = tf.nest.map_structure(_writable, painting)
        log = []
        for done in range(first, first + count):
            parts, found = self.gradient(np.asarray(painting.picture), targets, settings.weights)
            finite = bool(np.isfinite(found).all())
            log.append(parts if finite else np.full_like(parts, np.nan))
            if not (finite and np.isfinite(parts).all()):
                break
            painting = self._updated(painting, settings, parts[:, 0], found, before + done + 1, settings.rates[done])
        return painting, np.stack(log)

    def gradient(
        self, picture: NDArray[np.float32], targets: Targets, weights: Weights
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the losses `[1, 4]` of a picture `[1, height, width, 3]` and their gradient, of its shape."""
        sums, cut = None, self._tiles(picture)
        for tile in cut:
            part = self._functions.measure(tile.of(picture), _of_tile(targets, tile), tile.box)
            sums = part if sums is None else tf.nest.map_structure(tf.add, sums, part)
        parts, pulls = self._functions.weigh(sums, targets, weights)
        found = np.empty(picture.shape, np.float32)
        for tile in cut:
            found[:, *tile.place()] = self._functions.pull(tile.of(picture), _of_tile(targets, tile), pulls, tile.box)
        return parts.numpy(), found

    def _updated(
        self, painting: Painting, settings: Settings, loss: Any, gradient: Any, number: int, rate: Any
    ) -> Painting:
        """Update a strip of rows at a time, in place, unless the optimizer must see all of them at once."""
        optimizer, count = OPTIMIZERS[self._recipe.optimizer], tf.constant(number)
        if not optimizer.by_pixel:
            state = self._functions.update(settings.optimizer, painting.state, loss, gradient, count, rate)
            return self._averaged(painting, state, settings)
        height, width = painting.picture.shape[1:3]
        rows = max(1, _STRIP_VALUES // (3 * width))
        for top in range(0, height, rows):
            strip = _strip(painting, slice(top, top + rows))
            slope = gradient[:, top : top + rows]
            state = self._functions.update(settings.optimizer, strip.state, loss, slope, count, rate)
            after = self._averaged(strip, state, settings)
            for kept, new in zip(tf.nest.flatten(strip), tf.nest.flatten(after), strict=True):
                kept[...] = new
        return painting

    def _averaged(self, painting: Painting, state: Any, settings: Settings) -> Painting:
        if not self._recipe.averaged:
            return Painting(state, painting.average)
        return updated(painting, state, OPTIMIZERS[self._recipe.optimizer].shown(state), settings.decay)

    def _map_size(self, picture: NDArray[np.float32], layer: str) -> tuple[int, int]:
        return map_size((picture.shape[1], picture.shape[2]), layer, mirrored=self._recipe.padding == "mirror")

    def _tiles(self, picture: NDArray[np.float32]) -> list[Tile]:
        return tiles(picture.shape[1:3], self._side, self._halo)


def _strip(painting: Painting, rows: slice) -> Painting:
    """Show some rows of a painting, through which it can be written to."""
    return Painting(type(painting.state)(*(array[:, rows] for array in painting.state)), painting.average[:, rows])


def _of_tile(targets: Targets, tile: Tile) -> Targets:
    return targets._replace(
        content={layer: tile.of(maps, stride(layer)) for layer, maps in targets.content.items()},
        masks={layer: tile.of(maps, stride(layer)) for layer, maps in targets.masks.items()},
    )


def _on_host(pictures: Any) -> NDArray[np.float32]:
    return np.asarray(pictures)


def _writable(array: Any) -> NDArray[Any]:
    """Copy a tensor of the state to the host, where it can be written to; what lies there already stays."""
    return array if isinstance(array, np.ndarray) else np.array(array)
