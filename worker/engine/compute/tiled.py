"""Steps whose gradient is added up from tiles, so that an image of any size fits in bounded memory.

Two passes over the tiles, each evaluated with its halo. The first adds up the sums over the tiles' interiors, which
give the losses and the derivative of the total loss by each sum. The second backpropagates these derivatives through
each tile and keeps the gradient of its interior. The image and the optimizer's state live in host memory.

Source: unpublished. It rests on the style loss being a function of sums over positions (Gatys et al. 2016,
equation 3) and on the locality of a sum's gradient.

Limits: one image at a time. Invariant: an update is made only with finite losses and a finite gradient.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from shared.painting.vgg19 import halo
from worker.engine.compute.tiles import Tile, tile_grid
from worker.engine.objective.maps import crop, map_size, stride
from worker.engine.objective.moments import Moments
from worker.engine.objective.total_loss import (
    IMAGES_SPEC,
    MASK_SPEC,
    LossWeights,
    Objective,
    ObjectiveSpec,
    Sums,
    Targets,
    sums_spec,
    targets_spec,
    weights_spec,
)
from worker.engine.optimizers.state import OPTIMIZERS, Hyperparameters, OptimizerState, updated
from worker.engine.vgg.network import Network

_BOX_SPEC = tf.TensorSpec([4], tf.int32)
#: Values of an image that are updated at once, which bounds the temporaries of an update.
_STRIP_VALUES = 2**22


class _CompiledFunctions:
    """The operations on one tile, of any size, each compiled at its first use."""

    def __init__(self, network: Network, spec: ObjectiveSpec) -> None:
        self._objective = Objective(network, spec)
        targets, weights, sums = targets_spec(spec), weights_spec(spec), sums_spec(spec)

        def compiled(body: Any, *signature: Any) -> Any:
            return tf.function(body, input_signature=signature, autograph=False)

        self.content = compiled(self._content, IMAGES_SPEC, _BOX_SPEC)
        masks = dict.fromkeys(spec.style_maps, MASK_SPEC)
        self.opaque_moment_sums = compiled(self._opaque_moment_sums, IMAGES_SPEC, _BOX_SPEC)
        self.masked_moment_sums = compiled(self._objective.moment_sums, IMAGES_SPEC, masks, _BOX_SPEC)
        self.sums = compiled(self._objective.sums, IMAGES_SPEC, targets, _BOX_SPEC)
        self.losses = compiled(self._losses, sums, targets, weights)
        self.gradient = compiled(self._gradient, IMAGES_SPEC, targets, sums, _BOX_SPEC)
        self.updated: Callable[..., OptimizerState] = tf.function(
            partial(updated, spec), autograph=False, reduce_retracing=True
        )

    def _content(self, tile: Any, box: Any) -> dict[str, Any]:
        """Return the content maps inside the box."""
        maps = self._objective.maps(tile)
        return {name: crop(maps[name], box, stride(name)) for name in self._objective.spec.content_maps}

    def _opaque_moment_sums(self, tile: Any, box: Any) -> tuple[dict[str, Moments], dict[str, Any]]:
        return self._objective.moment_sums(tile, None, box)

    def _losses(self, sums: Sums, targets: Targets, weights: LossWeights) -> tuple[Any, Sums]:
        """Return the losses `[batch, 4]` of a whole image, and the derivative of the total by each sum."""
        with tf.GradientTape() as tape:
            tape.watch(sums)
            parts = self._objective.losses(sums, targets, weights)
            total = tf.reduce_sum(parts[:, 0])
        return parts, tape.gradient(total, sums, unconnected_gradients=tf.UnconnectedGradients.ZERO)

    def _gradient(self, tile: Any, targets: Targets, derivatives: Sums, box: Any) -> Any:
        """Backpropagate the derivatives by the sums through the tile; return the gradient inside the box."""
        with tf.GradientTape() as tape:
            tape.watch(tile)
            sums = self._objective.sums(tile, targets)
            pairs = zip(tf.nest.flatten(sums), tf.nest.flatten(derivatives), strict=True)
            total = tf.add_n([tf.reduce_sum(value * derivative) for value, derivative in pairs])
        return crop(tape.gradient(total, tile), box, 1)


#: The functions of a network and a spec, kept for later jobs; as many as of whole images.
_compiled_functions = lru_cache(maxsize=8)(_CompiledFunctions)


class TiledEvaluator:
    """An `Evaluator` of one image of any size, in tiles of about `side` pixels."""

    def __init__(self, network: Network, spec: ObjectiveSpec, side: int) -> None:
        self._functions = _compiled_functions(network, spec)
        self._spec = spec
        self._elementwise = OPTIMIZERS[spec.optimizer].elementwise
        self._side = side
        self._halo = halo(spec.layers, laplacian_pool=spec.laplacian_pool)

    def content(self, images: Any) -> dict[str, Any]:
        """Return the content maps `[1, h, w, c]`, in host memory."""
        image, maps, mirrored = np.asarray(images), dict[str, NDArray[Any]](), self._spec.padding == "mirror"
        for tile in self._tiles(image):
            inner = self._functions.content(tile.crop(image), tile.box)
            for layer, part in inner.items():
                if layer not in maps:
                    shape = 1, *map_size(image.shape[1:3], layer, mirrored=mirrored), part.shape[-1]
                    maps[layer] = np.empty(shape, part.dtype.as_numpy_dtype)
                maps[layer][:, *tile.interior(stride(layer))] = part
        return maps

    def moments(self, images: Any, masks: Mapping[str, Any] | None = None) -> dict[str, Moments]:
        """Return the moments of the style maps: means `[1, c]` and Gram matrices `[1, c, c]`."""
        image = np.asarray(images)
        parts = [self._moment_sums(image, masks, tile) for tile in self._tiles(image)]
        sums, counts = tf.nest.map_structure(lambda *own: tf.add_n(own), *parts)
        return {name: Moments(*(part / counts[name] for part in own)) for name, own in sums.items()}

    def _moment_sums(
        self, image: NDArray[np.float32], masks: Mapping[str, Any] | None, tile: Tile
    ) -> tuple[dict[str, Moments], dict[str, Any]]:
        """Return the sums over a tile's interior."""
        own, functions = tile.crop(image), self._functions
        if masks is None:
            return functions.opaque_moment_sums(own, tile.box)  # type: ignore[no-any-return]
        cropped = {name: tile.crop(mask, stride(name)) for name, mask in masks.items()}
        return functions.masked_moment_sums(own, cropped, tile.box)  # type: ignore[no-any-return]

    def run_steps(
        self, state: OptimizerState, targets: Targets, hparams: Hyperparameters, *, done: int, before: int, count: int
    ) -> tuple[OptimizerState, NDArray[np.float32]]:
        """Make up to `count` updates, in place; return the state and the losses `[at most count, 1, 4]`.

        The step whose losses or gradient are not finite is the last, and makes no update.
        """
        if self._elementwise:
            state = tf.nest.map_structure(_writable, state)
        log = []
        for step in range(done, done + count):
            losses, gradient = self.losses_and_gradient(np.asarray(state.image), targets, hparams.weights)
            finite = bool(np.isfinite(gradient).all())
            log.append(losses if finite else np.full_like(losses, np.nan))
            if not (finite and np.isfinite(losses).all()):
                break
            number, rate = before + step + 1, hparams.rates[step]
            state = self._updated(state, hparams, losses[:, 0], gradient, number, rate)
        return state, np.stack(log)

    def losses_and_gradient(
        self, image: NDArray[np.float32], targets: Targets, weights: LossWeights
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the losses `[1, 4]` of an image `[1, height, width, 3]`, and the total's gradient."""
        sums, tiles = None, self._tiles(image)
        for tile in tiles:
            part = self._functions.sums(tile.crop(image), _crop_targets(targets, tile), tile.box)
            sums = part if sums is None else tf.nest.map_structure(tf.add, sums, part)
        losses, derivatives = self._functions.losses(sums, targets, weights)
        gradient = np.empty(image.shape, np.float32)
        for tile in tiles:
            own = _crop_targets(targets, tile)
            gradient[:, *tile.interior()] = self._functions.gradient(tile.crop(image), own, derivatives, tile.box)
        return losses.numpy(), gradient

    def _updated(
        self, state: OptimizerState, hparams: Hyperparameters, loss: Any, gradient: Any, number: int, rate: Any
    ) -> OptimizerState:
        """Update a strip of rows at a time, in place, unless the optimizer needs the whole image."""
        step = tf.constant(number)
        if not self._elementwise:
            return self._functions.updated(state, hparams, loss, gradient, step, rate)
        height, width = state.image.shape[1:3]
        rows = max(1, _STRIP_VALUES // (3 * width))
        for top in range(0, height, rows):
            strip = _strip(state, slice(top, top + rows))
            after = self._functions.updated(strip, hparams, loss, gradient[:, top : top + rows], step, rate)
            for array, new in zip(tf.nest.flatten(strip), tf.nest.flatten(after), strict=True):
                array[...] = new
        return state

    def _tiles(self, image: NDArray[np.float32]) -> list[Tile]:
        return tile_grid(image.shape[1:3], self._side, self._halo)


def _strip(state: OptimizerState, rows: slice) -> OptimizerState:
    """Return writable views of some rows of a state."""
    return OptimizerState(type(state.inner)(*(array[:, rows] for array in state.inner)), state.average[:, rows])


def _crop_targets(targets: Targets, tile: Tile) -> Targets:
    return targets._replace(
        content={layer: tile.crop(maps, stride(layer)) for layer, maps in targets.content.items()},
        masks={layer: tile.crop(maps, stride(layer)) for layer, maps in targets.masks.items()},
    )


def _writable(array: Any) -> NDArray[Any]:
    """Copy a tensor to host memory, where it can be written to; leave an array as it is."""
    return array if isinstance(array, np.ndarray) else np.array(array)
