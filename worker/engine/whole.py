"""Steps computed on whole pictures, several of them inside one compiled call.

Compiled once per process for each network and recipe, whatever the number of pictures and their sizes.

Invariant: a loss belongs to the picture before the update of its step, and no picture of a batch sees another.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import tensorflow as tf

from shared.vgg19 import channels
from worker.engine import losses
from worker.engine.network import Network
from worker.engine.objective import (
    PICTURES,
    SCALAR,
    Objective,
    Recipe,
    Targets,
    Weights,
    targets_spec,
    weights_spec,
)
from worker.engine.painting import OPTIMIZERS, Painting, spec, updated

_INTEGER = tf.TensorSpec([], tf.int32)


class Whole:
    """The compiled computation over whole pictures."""

    def __init__(self, network: Network, recipe: Recipe) -> None:
        """Prepare to compile at first use."""
        self._objective = Objective(network, recipe)
        self._optimizer = OPTIMIZERS[recipe.optimizer]
        self._averaged = recipe.averaged
        self.features = tf.function(self._objective.forward, input_signature=[PICTURES], autograph=False)
        self.grams = tf.function(self._grams, input_signature=[PICTURES], autograph=False)
        signature = [
            spec(recipe.optimizer),
            targets_spec(recipe),
            weights_spec(recipe),
            self._optimizer.settings_spec,
            tf.TensorSpec([None]),
            SCALAR,
            _INTEGER,
            _INTEGER,
            _INTEGER,
        ]
        self.advance = tf.function(self._advance, input_signature=signature, autograph=False)

    def _grams(self, pictures: Any) -> dict[str, Any]:
        features = self._objective.forward(pictures)
        return {layer: losses.gram(features[layer]) for layer in self._objective.recipe.style_layers}

    def _advance(
        self,
        painting: Painting,
        targets: Targets,
        weights: Weights,
        settings: Any,
        rates: Any,
        decay: Any,
        first: Any,
        before: Any,
        count: Any,
    ) -> tuple[Painting, Any]:
        """Make `count` updates; return the painting and its losses `[count, batch, 4]`.

        `first` is the number of updates made at this scale, `before` at all smaller ones; `rates` are this
        scale's, and `decay` is the average's.
        """

        def step(i: Any, painting: Painting, log: Any) -> tuple[Any, Painting, Any]:
            with tf.GradientTape() as tape:
                tape.watch(painting.picture)
                parts = self._objective.evaluate(
                    self._objective.measure(painting.picture, targets), targets, weights
                )
                total = tf.reduce_sum(parts[:, 0])
            gradient = tape.gradient(total, painting.picture)
            state = self._optimizer.update(
                settings, painting.state, parts[:, 0], gradient, before + first + i + 1, rates[first + i]
            )
            after = updated(painting, state, decay) if self._averaged else Painting(state, painting.average)
            return i + 1, after, log.write(i, parts)

        log = tf.TensorArray(tf.float32, size=count, element_shape=[None, 4])
        # one after the other: overlapping iterations would hold the activations of several steps
        _, painting, log = tf.while_loop(lambda i, *_: i < count, step, (0, painting, log), parallel_iterations=1)
        return painting, log.stack()


@lru_cache(maxsize=8)
def whole(network: Network, recipe: Recipe) -> Whole:
    """Give the computation of `recipe`, compiled at its first use and kept for the jobs that follow."""
    return Whole(network, recipe)


def gram_shapes(recipe: Recipe) -> dict[str, int]:
    """Tell the side of each style layer's Gram matrix."""
    return {layer: channels(layer) for layer in recipe.style_layers}
