"""Steps computed on whole pictures, several steps and several pictures inside one compiled call.

Compiled once per process for each network and recipe, whatever the number of pictures and their sizes.

Invariant: a loss belongs to the picture before the update of its step, and no picture of a batch sees another.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from worker.engine.objective import losses
from worker.engine.objective.objective import PICTURES, Objective, Recipe, Targets, targets_spec
from worker.engine.optimizers.state import OPTIMIZERS, Painting, Settings, spec, updated
from worker.engine.vgg.network import Network

_INTEGER = tf.TensorSpec([], tf.int32)


class Whole:
    """The compiled computation over whole pictures."""

    def __init__(self, network: Network, recipe: Recipe) -> None:
        """Prepare to compile at first use."""
        self._objective = Objective(network, recipe)
        self._optimizer = OPTIMIZERS[recipe.optimizer]
        self._averaged = recipe.averaged
        signature = [spec(recipe), targets_spec(recipe), Settings.spec(recipe), _INTEGER, _INTEGER, _INTEGER]
        self._content_of = tf.function(self._content, input_signature=[PICTURES], autograph=False)
        self._grams_of = tf.function(self._grams, input_signature=[PICTURES], autograph=False)
        self._advanced = tf.function(self._advance, input_signature=signature, autograph=False)

    @property
    def traces(self) -> int:
        """How often the steps were compiled in this process."""
        return int(self._advanced.experimental_get_tracing_count())

    def content(self, pictures: Any) -> dict[str, Any]:
        """Evaluate the content layers of pictures: `[batch, h, w, c]` each."""
        found: dict[str, Any] = self._content_of(pictures)
        return found

    def grams(self, pictures: Any) -> dict[str, Any]:
        """Correlate the style layers of pictures: `[batch, c, c]` each."""
        found: dict[str, Any] = self._grams_of(pictures)
        return found

    def advance(
        self, painting: Painting, targets: Targets, settings: Settings, *, first: int, before: int, count: int
    ) -> tuple[Painting, NDArray[np.float32]]:
        """Make `count` updates; return the painting and its losses `[count, batch, 4]`.

        `first` is the number of updates made at this scale, `before` at all smaller ones.
        """
        painting, losses = self._advanced(painting, targets, settings, first, before, count)
        return painting, losses.numpy()

    def _content(self, pictures: Any) -> dict[str, Any]:
        features = self._objective.forward(pictures)
        return {layer: features[layer] for layer in self._objective.recipe.content_layers}

    def _grams(self, pictures: Any) -> dict[str, Any]:
        features = self._objective.forward(pictures)
        return {layer: losses.gram(features[layer]) for layer in self._objective.recipe.style_layers}

    def _advance(
        self, painting: Painting, targets: Targets, settings: Settings, first: Any, before: Any, count: Any
    ) -> tuple[Painting, Any]:
        def step(i: Any, painting: Painting, log: Any) -> tuple[Any, Painting, Any]:
            with tf.GradientTape() as tape:
                tape.watch(painting.picture)
                sums = self._objective.measure(painting.picture, targets)
                parts = self._objective.evaluate(sums, targets, settings.weights)
                total = tf.reduce_sum(parts[:, 0])
            gradient = tape.gradient(total, painting.picture)
            number, rate = before + first + i + 1, settings.rates[first + i]
            state = self._optimizer.update(settings.optimizer, painting.state, parts[:, 0], gradient, number, rate)
            shown, after = self._optimizer.shown(state), Painting(state, painting.average)
            if self._averaged:
                after = updated(painting, state, shown, settings.decay)
            return i + 1, after, log.write(i, parts)

        log = tf.TensorArray(tf.float32, size=count, element_shape=[None, 4])
        # one after the other: overlapping iterations would hold the activations of several steps
        _, painting, log = tf.while_loop(lambda i, *_: i < count, step, (0, painting, log), parallel_iterations=1)
        return painting, log.stack()


@lru_cache(maxsize=8)
def whole(network: Network, recipe: Recipe) -> Whole:
    """Give the computation of `recipe`, compiled at its first use and kept for the jobs that follow."""
    return Whole(network, recipe)
