"""The compiled computation: targets from the pictures, and as many steps as one call shall make.

Compiled once per process for each network and choice of layers, whatever the sizes of the pictures: heights,
widths, the number of steps and every weight are arguments. TensorFlow keeps each compiled shape for good, so
compiling per size would leak memory in a long-lived worker.

Invariant: a loss belongs to the picture before the update of its step.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import tensorflow as tf

from shared.params import StyleParams
from shared.vgg19 import kernel_shapes
from worker.engine import losses
from worker.engine.network import Network
from worker.engine.optimizer import Adam, State, update
from worker.engine.vgg import forward

_PICTURE = tf.TensorSpec([1, None, None, 3])
_SCALAR = tf.TensorSpec([])


class Recipe(NamedTuple):
    """What is compiled in; everything else is an argument."""

    content_layers: tuple[str, ...]
    style_layers: tuple[str, ...]
    gram_normalization: str
    loss_scaling: str
    pooling: str
    padding: str

    @classmethod
    def of(cls, params: StyleParams) -> Recipe:
        """Take the recipe from `params`, leaving out layers of weight 0."""
        content, style = (
            tuple(sorted(layer for layer, weight in layers.items() if weight > 0))
            for layers in (params.content_layers, params.style_layers)
        )
        return cls(content, style, params.gram_normalization, params.loss_scaling, params.pooling, params.padding)


class Targets(NamedTuple):
    """What the picture is drawn to: the content's activations and the style's Gram matrices, by layer."""

    content: dict[str, Any]
    style: dict[str, Any]


class Weights(NamedTuple):
    """The weight of each layer, the losses' own weights and averages multiplied in, and of total variation."""

    content: dict[str, Any]
    style: dict[str, Any]
    tv: Any

    @classmethod
    def of(cls, params: StyleParams) -> Weights:
        """Take the weights from `params`."""

        def shares(layers: dict[str, float], weight: float) -> dict[str, Any]:
            return {
                name: tf.constant(weight * share / len(layers), tf.float32) for name, share in layers.items() if share
            }

        return cls(
            shares(params.content_layers, params.content_weight),
            shares(params.style_layers, params.style_weight),
            tf.constant(params.tv_weight, tf.float32),
        )


class Objective:
    """The losses of a recipe over a network, and the loop that lowers them."""

    def __init__(self, network: Network, recipe: Recipe) -> None:
        self._recipe = recipe
        layers = {*recipe.content_layers, *recipe.style_layers}
        self._forward = forward(network, layers, pooling=recipe.pooling, padding=recipe.padding)
        self.features = tf.function(self._forward, input_signature=[_PICTURE], autograph=False)
        self.advance = tf.function(self._advance, input_signature=_signature(recipe), autograph=False)

    def targets(self, content: Any, styles: list[tuple[Any, float]]) -> Targets:
        """Evaluate the content, and the styles blended by their shares, which sum to 1."""
        features = self.features(content)
        blend = dict.fromkeys(self._recipe.style_layers, 0.0)
        for style, share in styles:
            activations = self.features(style)
            for layer in blend:
                blend[layer] += share * losses.gram(activations[layer])
        return Targets({layer: features[layer] for layer in self._recipe.content_layers}, blend)

    def parts(self, picture: Any, targets: Targets, weights: Weights) -> Any:
        """Evaluate the weighted losses of `picture` as `[total, content, style, tv]`."""
        features, recipe = self._forward(picture), self._recipe
        content = losses.content_loss(features, targets.content, weights.content, scaling=recipe.loss_scaling)
        style = losses.style_loss(
            features,
            targets.style,
            weights.style,
            scaling=recipe.loss_scaling,
            normalization=recipe.gram_normalization,
        )
        tv = weights.tv * losses.total_variation(picture)
        return tf.stack([content + style + tv, content, style, tv])

    def _advance(
        self, state: State, targets: Targets, weights: Weights, adam: Adam, rates: Any, first: Any, count: Any
    ) -> tuple[State, Any]:
        """Make `count` updates from number `first`, counted from 0 within the scale; return their losses too."""

        def step(i: Any, state: State, log: Any) -> tuple[Any, State, Any]:
            with tf.GradientTape() as tape:
                tape.watch(state.picture)
                parts = self.parts(state.picture, targets, weights)
                total = parts[0]
            gradient = tape.gradient(total, state.picture)
            state = update(adam, state, gradient, first + i + 1, rates[first + i])
            return i + 1, state, log.write(i, parts)

        log = tf.TensorArray(tf.float32, size=count, element_shape=[4])
        # one after the other: overlapping iterations would hold the activations of several steps
        _, state, log = tf.while_loop(lambda i, *_: i < count, step, (0, state, log), parallel_iterations=1)
        return state, log.stack()


@lru_cache(maxsize=8)
def objective(network: Network, recipe: Recipe) -> Objective:
    """Give the objective of `recipe`, compiled at its first use and kept for the jobs that follow."""
    return Objective(network, recipe)


def _signature(recipe: Recipe) -> list[Any]:
    """Describe the arguments of `advance` so that no size of picture compiles it again."""
    channels = {layer: shape[-1] for layer, shape in kernel_shapes().items()}
    return [
        State(_PICTURE, _PICTURE, _PICTURE),
        Targets(
            {layer: tf.TensorSpec([1, None, None, channels[layer]]) for layer in recipe.content_layers},
            {layer: tf.TensorSpec([1, channels[layer], channels[layer]]) for layer in recipe.style_layers},
        ),
        Weights(dict.fromkeys(recipe.content_layers, _SCALAR), dict.fromkeys(recipe.style_layers, _SCALAR), _SCALAR),
        Adam(*[_SCALAR] * len(Adam._fields)),
        tf.TensorSpec([None]),
        tf.TensorSpec([], tf.int32),
        tf.TensorSpec([], tf.int32),
    ]
