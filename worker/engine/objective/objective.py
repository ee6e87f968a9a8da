"""What a picture is measured by: sums over its feature maps, and the losses as a function of the sums.

The sums of a picture are those of its tiles added up, which is what makes exact tiling possible: `measure` may be
given a tile and the box of it that counts, and `evaluate` does not care where its sums come from.

Invariant: shapes and sizes are arguments, never compiled in; TensorFlow keeps each compiled shape for good, so
compiling per size would leak memory in a long-lived worker.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from shared.painting.params import StyleParams
from shared.painting.vgg19 import channels, stride
from worker.engine.objective import losses
from worker.engine.vgg.features import forward
from worker.engine.vgg.network import Network

PICTURES = tf.TensorSpec([None, None, None, 3])
SCALAR = tf.TensorSpec([])


class Recipe(NamedTuple):
    """What is compiled in; everything else is an argument. `regions` counts masked styles; 0 is unmasked."""

    content_layers: tuple[str, ...]
    style_layers: tuple[str, ...]
    gram_normalization: str
    loss_scaling: str
    pooling: str
    padding: str
    precision: str
    optimizer: str
    averaged: bool
    regions: int

    @classmethod
    def of(cls, params: StyleParams, *, precision: str, regions: int = 0) -> Recipe:
        """Take the recipe from `params`, leaving out layers of weight 0."""
        content, style = (
            tuple(sorted(layer for layer, weight in layers.items() if weight > 0))
            for layers in (params.content_layers, params.style_layers)
        )
        return cls(
            content,
            style,
            params.gram_normalization,
            params.loss_scaling,
            params.pooling,
            params.padding,
            precision,
            params.optimizer,
            params.averaging > 0,
            regions,
        )

    @property
    def layers(self) -> set[str]:
        """All layers that are compared."""
        return {*self.content_layers, *self.style_layers}


class Targets(NamedTuple):
    """What pictures of one size are drawn to.

    `content` holds activations `[batch, h, w, c]`, `content_scale` their mean squares `[batch]`, `content_count`
    how many values each has. `style` holds Gram matrices `[regions or 1, batch or 1, c, c]`, `style_count` the
    positions that each region's sums are divided by, `masks` the regions `[regions, h, w]` if there are any.
    """

    content: dict[str, Any]
    content_scale: dict[str, Any]
    content_count: dict[str, Any]
    style: dict[str, Any]
    style_count: dict[str, Any]
    masks: dict[str, Any]
    shares: Any
    tv_count: Any

    def only(self, indices: Any) -> Targets:
        """Keep the pictures at `indices` of the batch."""
        return self._replace(
            content={layer: tf.gather(maps, indices) for layer, maps in self.content.items()},
            content_scale={layer: tf.gather(scale, indices) for layer, scale in self.content_scale.items()},
            style={
                layer: grams if grams.shape[1] == 1 else tf.gather(grams, indices, axis=1)
                for layer, grams in self.style.items()
            },
        )


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


class Sums(NamedTuple):
    """What the losses are made of, added up over positions.

    `grams` is `[regions or 1, batch, c, c]` by style layer, `squares` the content's differences `[batch]` by
    content layer, `variation` the differences of neighbours down and across `[batch, 2]`.
    """

    grams: dict[str, Any]
    squares: dict[str, Any]
    variation: Any


class Objective:
    """The losses of a recipe over a network, as plain TensorFlow operations."""

    def __init__(self, network: Network, recipe: Recipe) -> None:
        self.recipe = recipe
        self.forward = forward(
            network, recipe.layers, pooling=recipe.pooling, padding=recipe.padding, precision=recipe.precision
        )

    def measure(self, pictures: Any, targets: Targets, box: Any = None) -> Sums:
        """Evaluate pictures, or tiles of which the part inside `box` counts: top, left, bottom, right in pixels."""
        features, recipe = self.forward(pictures), self.recipe
        grams = {}
        for layer in recipe.style_layers:
            seen = cropped(features[layer], box, stride(layer))
            masks = tf.unstack(cropped(targets.masks[layer], box, stride(layer))) if recipe.regions else [None]
            grams[layer] = tf.stack([losses.gram_sums(seen, mask) for mask in masks])
        squares = {
            layer: losses.square_sums(
                cropped(features[layer], box, stride(layer)), cropped(targets.content[layer], box, stride(layer))
            )
            for layer in recipe.content_layers
        }
        return Sums(grams, squares, losses.variation_sums(pictures, box))

    def evaluate(self, sums: Sums, targets: Targets, weights: Weights) -> Any:
        """Turn sums into the weighted losses `[batch, 4]`: total, content, style, tv."""
        recipe = self.recipe
        content = tf.add_n(
            [
                weights.content[layer]
                * losses.content_distance(
                    sums.squares[layer],
                    targets.content_count[layer],
                    targets.content_scale[layer],
                    scaling=recipe.loss_scaling,
                )
                for layer in recipe.content_layers
            ]
        )
        style = tf.add_n([weights.style[layer] * self._style(layer, sums, targets) for layer in recipe.style_layers])
        tv = weights.tv * tf.reduce_sum(sums.variation / targets.tv_count, axis=-1)
        return tf.stack([content + style + tv, content, style, tv], axis=-1)

    def _style(self, layer: str, sums: Sums, targets: Targets) -> Any:
        """Measure one layer's Gram matrices against the style's: `[batch]`, the regions by their shares."""
        count = targets.style_count[layer]
        grams = sums.grams[layer] / tf.maximum(count, 1e-6)[:, tf.newaxis, tf.newaxis, tf.newaxis]
        distance = losses.gram_distance(
            grams,
            targets.style[layer],
            scaling=self.recipe.loss_scaling,
            normalization=self.recipe.gram_normalization,
        )
        # a region that a layer does not see is not held against the picture
        present = targets.shares * tf.cast(count > 0, tf.float32)
        return tf.reduce_sum(distance * present[:, tf.newaxis], axis=0)


def cropped(maps: Any, box: Any, step: int) -> Any:
    """Cut maps `[any, height, width, …]` to `box`, in pixels, where a position stands for `step` of them."""
    if box is None:
        return maps
    return maps[:, box[0] // step : box[2] // step, box[1] // step : box[3] // step]


def targets_spec(recipe: Recipe) -> Targets:
    """Describe `Targets` for pictures of any size and number."""
    return Targets(
        {
            layer: tf.TensorSpec([None, None, None, channels(layer)], recipe.precision)
            for layer in recipe.content_layers
        },
        {layer: tf.TensorSpec([None]) for layer in recipe.content_layers},
        dict.fromkeys(recipe.content_layers, SCALAR),
        {layer: tf.TensorSpec([None, None, channels(layer), channels(layer)]) for layer in recipe.style_layers},
        {layer: tf.TensorSpec([None]) for layer in recipe.style_layers},
        {layer: tf.TensorSpec([recipe.regions, None, None]) for layer in recipe.style_layers} if recipe.regions else {},
        tf.TensorSpec([None]),
        tf.TensorSpec([2]),
    )


def weights_spec(recipe: Recipe) -> Weights:
    """Describe `Weights`."""
    return Weights(dict.fromkeys(recipe.content_layers, SCALAR), dict.fromkeys(recipe.style_layers, SCALAR), SCALAR)


def sums_spec(recipe: Recipe) -> Sums:
    """Describe `Sums` of any number of pictures."""
    return Sums(
        {layer: tf.TensorSpec([None, None, channels(layer), channels(layer)]) for layer in recipe.style_layers},
        {layer: tf.TensorSpec([None]) for layer in recipe.content_layers},
        tf.TensorSpec([None, 2]),
    )
