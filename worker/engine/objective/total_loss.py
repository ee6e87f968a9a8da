"""The total loss of an image: the weighted sum of content, style and total variation.

It is computed in two steps, which makes exact tiling possible: `sums` reduces the feature maps of an image, or of one
tile, to sums over positions; `losses` turns those sums into losses and does not care whether they came from one image
or were added up over tiles.

Source: Gatys et al. 2016, equation 7.

Invariant: image sizes are arguments, never compiled in. TensorFlow keeps every compiled shape for good, so compiling
per size would leak memory in a long-lived worker.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from shared.painting.params import StyleParams
from shared.painting.vgg19 import channels, stride
from worker.engine.objective import losses
from worker.engine.vgg.features import forward
from worker.engine.vgg.network import Network

#: Images `[batch, height, width, 3]`, float32 RGB in 0 to 1.
IMAGES_SPEC = tf.TensorSpec([None, None, None, 3])
SCALAR_SPEC = tf.TensorSpec([])


class ObjectiveSpec(NamedTuple):
    """The choices that are compiled in; everything else is an argument.

    `regions` is the number of masked styles, 0 without masks; `averaged` tells whether the iterates are averaged.
    """

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
    def from_params(cls, params: StyleParams, *, precision: str, regions: int = 0) -> ObjectiveSpec:
        """Build the spec from `params`, without the layers of weight 0."""
        content, style = (
            tuple(sorted(layer for layer, weight in layers.items() if weight > 0))
            for layers in (params.content_layers, params.style_layers)
        )
        formulas = params.gram_normalization, params.loss_scaling, params.pooling, params.padding
        return cls(content, style, *formulas, precision, params.optimizer, params.averaging > 0, regions)

    @property
    def layers(self) -> set[str]:
        """All content and style layers."""
        return {*self.content_layers, *self.style_layers}


class Targets(NamedTuple):
    """What images of one size are compared with, by layer.

    `content` holds feature maps `[batch, h, w, c]`, `content_mean_square` their mean squares `[batch]` and
    `content_count` the number of values in each. `style` holds Gram matrices `[regions or 1, batch or 1, c, c]`,
    `style_count` `[regions or 1]` the positions that Gram sums are divided by, `masks` `[regions, h, w]` the masks, if
    there are any. `region_weights` `[regions or 1]` weighs the regions, `variation_count` `[2]` counts the pairs of
    vertical and horizontal neighbours.
    """

    content: dict[str, Any]
    content_mean_square: dict[str, Any]
    content_count: dict[str, Any]
    style: dict[str, Any]
    style_count: dict[str, Any]
    masks: dict[str, Any]
    region_weights: Any
    variation_count: Any

    def select(self, indices: Any) -> Targets:
        """Keep only the images at `indices` of the batch."""
        return self._replace(
            content={layer: tf.gather(maps, indices) for layer, maps in self.content.items()},
            content_mean_square={layer: tf.gather(means, indices) for layer, means in self.content_mean_square.items()},
            style={
                layer: grams if grams.shape[1] == 1 else tf.gather(grams, indices, axis=1)
                for layer, grams in self.style.items()
            },
        )


class LossWeights(NamedTuple):
    """Scalar weights: of each layer, with the loss's own weight and the mean over layers multiplied in, and of tv."""

    content: dict[str, Any]
    style: dict[str, Any]
    tv: Any

    @classmethod
    def from_params(cls, params: StyleParams) -> LossWeights:
        """Build the weights from `params`, without the layers of weight 0."""

        def per_layer(layers: dict[str, float], weight: float) -> dict[str, Any]:
            return {name: tf.constant(weight * own / len(layers), tf.float32) for name, own in layers.items() if own}

        return cls(
            per_layer(params.content_layers, params.content_weight),
            per_layer(params.style_layers, params.style_weight),
            tf.constant(params.tv_weight, tf.float32),
        )


class Sums(NamedTuple):
    """All that the losses depend on, summed over positions.

    `grams` holds un-normalized Gram matrices `[regions or 1, batch, c, c]` by style layer, `squares` sums of (F - P)²
    `[batch]` by content layer, `variation` those of neighbouring pixels `[batch, 2]`.
    """

    grams: dict[str, Any]
    squares: dict[str, Any]
    variation: Any


class Objective:
    """The total loss over one network, as plain TensorFlow operations."""

    def __init__(self, network: Network, spec: ObjectiveSpec) -> None:
        self.spec = spec
        self.forward = forward(
            network, spec.layers, pooling=spec.pooling, padding=spec.padding, precision=spec.precision
        )

    def sums(self, images: Any, targets: Targets, box: Any = None) -> Sums:
        """Evaluate images, or tiles of which only the `box` (top, left, bottom, right), in pixels, counts."""
        features, spec = self.forward(images), self.spec
        grams = {}
        for layer in spec.style_layers:
            maps = crop(features[layer], box, stride(layer))
            masks = tf.unstack(crop(targets.masks[layer], box, stride(layer))) if spec.regions else [None]
            grams[layer] = tf.stack([losses.gram_sums(maps, mask) for mask in masks])
        squares = {
            layer: losses.square_sums(
                crop(features[layer], box, stride(layer)), crop(targets.content[layer], box, stride(layer))
            )
            for layer in spec.content_layers
        }
        return Sums(grams, squares, losses.variation_sums(images, box))

    def losses(self, sums: Sums, targets: Targets, weights: LossWeights) -> Any:
        """Return the weighted losses `[batch, 4]`: total, content, style, tv."""
        spec = self.spec
        content = tf.add_n(
            [
                weights.content[layer]
                * losses.content_distance(
                    sums.squares[layer],
                    targets.content_count[layer],
                    targets.content_mean_square[layer],
                    scaling=spec.loss_scaling,
                )
                for layer in spec.content_layers
            ]
        )
        style = tf.add_n([weights.style[layer] * self._style(layer, sums, targets) for layer in spec.style_layers])
        tv = weights.tv * tf.reduce_sum(sums.variation / targets.variation_count, axis=-1)
        return tf.stack([content + style + tv, content, style, tv], axis=-1)

    def _style(self, layer: str, sums: Sums, targets: Targets) -> Any:
        """Return the style loss of one layer `[batch]`, its regions weighted and added up."""
        count = targets.style_count[layer]
        grams = sums.grams[layer] / tf.maximum(count, 1e-6)[:, tf.newaxis, tf.newaxis, tf.newaxis]
        distance = losses.gram_distance(
            grams,
            targets.style[layer],
            scaling=self.spec.loss_scaling,
            normalization=self.spec.gram_normalization,
        )
        # a region that no position of this layer belongs to adds nothing to the loss
        weights = targets.region_weights * tf.cast(count > 0, tf.float32)
        return tf.reduce_sum(distance * weights[:, tf.newaxis], axis=0)


def crop(maps: Any, box: Any, pixels_per_position: int) -> Any:
    """Crop maps `[any, height, width, …]` to a `box` in pixels of the image; None leaves them as they are."""
    if box is None:
        return maps
    step = pixels_per_position
    return maps[:, box[0] // step : box[2] // step, box[1] // step : box[3] // step]


def targets_spec(spec: ObjectiveSpec) -> Targets:
    """Return the signature of `Targets`, for any size and number of images."""
    return Targets(
        {layer: tf.TensorSpec([None, None, None, channels(layer)], spec.precision) for layer in spec.content_layers},
        {layer: tf.TensorSpec([None]) for layer in spec.content_layers},
        dict.fromkeys(spec.content_layers, SCALAR_SPEC),
        {layer: tf.TensorSpec([None, None, channels(layer), channels(layer)]) for layer in spec.style_layers},
        {layer: tf.TensorSpec([None]) for layer in spec.style_layers},
        {layer: tf.TensorSpec([spec.regions, None, None]) for layer in spec.style_layers} if spec.regions else {},
        tf.TensorSpec([None]),
        tf.TensorSpec([2]),
    )


def weights_spec(spec: ObjectiveSpec) -> LossWeights:
    """Return the signature of `LossWeights`."""
    content, style = (dict.fromkeys(layers, SCALAR_SPEC) for layers in (spec.content_layers, spec.style_layers))
    return LossWeights(content, style, SCALAR_SPEC)


def sums_spec(spec: ObjectiveSpec) -> Sums:
    """Return the signature of `Sums`, for any number of images."""
    return Sums(
        {layer: tf.TensorSpec([None, None, channels(layer), channels(layer)]) for layer in spec.style_layers},
        {layer: tf.TensorSpec([None]) for layer in spec.content_layers},
        tf.TensorSpec([None, 2]),
    )
