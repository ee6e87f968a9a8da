"""The total loss of an image: the weighted sum of content, style and total variation.

It is computed in two steps, which makes exact tiling possible: `sums` reduces the feature maps of an image, or of one
tile, to sums over positions; `losses` turns those sums into losses and does not care whether they came from one image
or were added up over tiles.

Source: Gatys et al. 2016, equation 7.

Invariant: image sizes are arguments, never compiled in. TensorFlow keeps every compiled shape for good, so compiling
per size would leak memory in a long-lived worker.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from shared.painting.params import StyleParams
from worker.engine.objective import losses
from worker.engine.objective.maps import PIXELS, channels, crop, dtype, is_layer, laplacian_name, pixel_maps, stride
from worker.engine.objective.moments import LEAST_BRIGHTNESS, Moments, covariance_distance, wasserstein_distance
from worker.engine.vgg.features import forward
from worker.engine.vgg.network import Network

#: Images `[batch, height, width, 3]`, float32 RGB in 0 to 1.
IMAGES_SPEC = tf.TensorSpec([None, None, None, 3])
SCALAR_SPEC = tf.TensorSpec([])
#: How much each position of a map counts, `[1, height, width]`.
MASK_SPEC = tf.TensorSpec([1, None, None])


class ObjectiveSpec(NamedTuple):
    """The choices that are compiled in; everything else is an argument.

    `content_maps` and `style_maps` name the maps that the losses are computed from, see `objective.maps`. `regions` is
    the number of masked styles, 0 without masks; `averaged` tells whether the iterates are averaged.
    """

    content_maps: tuple[str, ...]
    style_maps: tuple[str, ...]
    style_statistic: str
    gram_normalization: str
    loss_scaling: str
    tv_stencil: str
    pooling: str
    pooling_scale: float
    padding: str
    precision: str
    optimizer: str
    averaged: bool
    regions: int

    @classmethod
    def from_params(cls, params: StyleParams, *, precision: str, regions: int = 0) -> ObjectiveSpec:
        """Build the spec from `params`, without the maps of weight 0."""
        content, style = map_weights(params)
        return cls(
            content_maps=tuple(sorted(content)),
            style_maps=tuple(sorted(style)),
            style_statistic=params.style_statistic,
            gram_normalization=params.gram_normalization,
            loss_scaling=params.loss_scaling,
            tv_stencil=params.tv_stencil,
            pooling=params.pooling,
            pooling_scale=params.pooling_scale,
            padding=params.padding,
            precision=precision,
            optimizer=params.optimizer,
            averaged=params.averaging > 0,
            regions=regions,
        )

    @property
    def layers(self) -> set[str]:
        """All layers of the network that a map is."""
        return {name for name in (*self.content_maps, *self.style_maps) if is_layer(name)}

    @property
    def laplacian_pool(self) -> int:
        """The side of the squares that the Laplacian averages, 0 without one."""
        return max((stride(name) for name in self.content_maps if not is_layer(name)), default=0)

    def statistic(self, name: str) -> str:
        """Return what is compared of a style map: of the pixels, which have no Gram loss, mean and covariance."""
        return "covariance" if name == PIXELS else self.style_statistic


def map_weights(params: StyleParams) -> tuple[dict[str, float], dict[str, float]]:
    """Return the weight of each content map and of each style map, its loss's own weight multiplied in.

    The content and style losses are means over layers; the Laplacian and the pixels' colours are a map each. Left out
    are layers of weight 0, and these two if their loss's weight is 0.
    """
    content = _per_layer(params.content_layers, params.content_weight)
    style = _per_layer(params.style_layers, params.style_weight)
    if params.laplacian_weight:
        content[laplacian_name(params.laplacian_pool)] = params.laplacian_weight
    if params.color_weight:
        style[PIXELS] = params.color_weight
    return content, style


def _per_layer(layers: dict[str, float], weight: float) -> dict[str, float]:
    return {name: weight * own / len(layers) for name, own in layers.items() if own}


class Targets(NamedTuple):
    """What images of one size are compared with, by map.

    `content` holds maps `[batch, h, w, c]`, `content_mean_square` their mean squares `[batch]` and `content_count` the
    number of values in each. `style` holds moments: means `[regions or 1, batch or 1, c]` and Gram matrices
    `[…, c, c]`; `style_root` the roots of their covariances, for the statistic `wasserstein`. `style_count`
    `[regions or 1]` is the number of positions that sums are divided by, `masks` `[regions, h, w]` the masks, if there
    are any. `region_weights` `[regions or 1]` weighs the regions, `variation_count` counts the pairs of neighbours, by
    direction as in `losses.variation_sums`.
    """

    content: dict[str, Any]
    content_mean_square: dict[str, Any]
    content_count: dict[str, Any]
    style: dict[str, Moments]
    style_root: dict[str, Any]
    style_count: dict[str, Any]
    masks: dict[str, Any]
    region_weights: Any
    variation_count: Any

    def select(self, indices: Any) -> Targets:
        """Keep only the images at `indices` of the batch."""

        def own(statistic: Any) -> Any:
            return statistic if statistic.shape[1] == 1 else tf.gather(statistic, indices, axis=1)

        return self._replace(
            content={name: tf.gather(maps, indices) for name, maps in self.content.items()},
            content_mean_square={name: tf.gather(means, indices) for name, means in self.content_mean_square.items()},
            style=tf.nest.map_structure(own, self.style),
            style_root=tf.nest.map_structure(own, self.style_root),
        )


class LossWeights(NamedTuple):
    """Scalar weights: of each map, as `map_weights` returns them, and of the total variation."""

    content: dict[str, Any]
    style: dict[str, Any]
    tv: Any

    @classmethod
    def from_params(cls, params: StyleParams) -> LossWeights:
        """Build the weights from `params`."""
        content, style = (
            {name: tf.constant(weight, tf.float32) for name, weight in weights.items()}
            for weights in map_weights(params)
        )
        return cls(content, style, tf.constant(params.tv_weight, tf.float32))


class Sums(NamedTuple):
    """All that the losses depend on, summed over positions.

    `moments` holds, by style map, sums of feature vectors `[regions or 1, batch, c]`, empty where only the Gram matrix
    counts, and un-normalized Gram matrices `[…, c, c]`. `squares` holds sums of (F - P)² `[batch]` by content map,
    `variation` those of neighbouring pixels `[batch, directions]`.
    """

    moments: dict[str, Moments]
    squares: dict[str, Any]
    variation: Any


class Objective:
    """The total loss over one network, as plain TensorFlow operations."""

    def __init__(self, network: Network, spec: ObjectiveSpec) -> None:
        self.spec = spec
        self.forward = forward(
            network,
            spec.layers,
            pooling=spec.pooling,
            pooling_scale=spec.pooling_scale,
            padding=spec.padding,
            precision=spec.precision,
        )

    def maps(self, images: Any) -> dict[str, Any]:
        """Return all maps of images `[batch, height, width, 3]` that the losses are computed from."""
        names = {*self.spec.content_maps, *self.spec.style_maps}
        return {**self.forward(images), **pixel_maps(images, names)}

    def moment_sums(
        self, images: Any, masks: Mapping[str, Any] | None = None, box: Any = None
    ) -> tuple[dict[str, Moments], dict[str, Any]]:
        """Return the moments `[batch, …]` of each style map, as sums, and the positions, by their `masks` squared."""
        maps, sums, counts = self.maps(images), {}, {}
        for name in self.spec.style_maps:
            inner = crop(maps[name], box, stride(name))
            mask = None if masks is None else crop(masks[name], box, stride(name))[0]
            sums[name] = Moments(losses.feature_sums(inner, mask), losses.gram_sums(inner, mask))
            counts[name] = losses.position_count(inner) if mask is None else tf.reduce_sum(tf.square(mask))
        return sums, counts

    def sums(self, images: Any, targets: Targets, box: Any = None) -> Sums:
        """Evaluate images, or tiles of which only the `box` (top, left, bottom, right), in pixels, counts."""
        maps, spec = self.maps(images), self.spec
        moments = {}
        for name in spec.style_maps:
            inner = crop(maps[name], box, stride(name))
            masks = tf.unstack(crop(targets.masks[name], box, stride(name))) if spec.regions else [None]
            grams = tf.stack([losses.gram_sums(inner, mask) for mask in masks])
            if spec.statistic(name) == "gram":
                moments[name] = Moments(tf.zeros([len(masks), 0, channels(name)]), grams)
            else:
                moments[name] = Moments(tf.stack([losses.feature_sums(inner, mask) for mask in masks]), grams)
        squares = {
            name: losses.square_sums(
                crop(maps[name], box, stride(name)), crop(targets.content[name], box, stride(name))
            )
            for name in spec.content_maps
        }
        return Sums(moments, squares, losses.variation_sums(images, box, stencil=spec.tv_stencil))

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
                for layer in spec.content_maps
            ]
        )
        style = tf.add_n([weights.style[layer] * self._style(layer, sums, targets) for layer in spec.style_maps])
        tv = weights.tv * losses.variation(sums.variation / targets.variation_count, stencil=spec.tv_stencil)
        return tf.stack([content + style + tv, content, style, tv], axis=-1)

    def _style(self, layer: str, sums: Sums, targets: Targets) -> Any:
        """Return the style loss of one map `[batch]`, its regions weighted and added up."""
        count, target, scaling = targets.style_count[layer], targets.style[layer], self.spec.loss_scaling
        per_region = tf.maximum(count, 1e-6)[:, tf.newaxis, tf.newaxis]
        found = sums.moments[layer]
        actual = Moments(found.mean / per_region, found.second / per_region[..., tf.newaxis])
        if self.spec.statistic(layer) == "gram":
            distance = losses.gram_distance(
                actual.second, target.second, scaling=scaling, normalization=self.spec.gram_normalization
            )
        elif self.spec.statistic(layer) == "covariance":
            least = LEAST_BRIGHTNESS if layer == PIXELS else 0.0
            distance = covariance_distance(actual, target, scaling=scaling, least=least)
        else:
            distance = wasserstein_distance(actual, target, targets.style_root[layer], scaling=scaling)
        # a region that no position of this layer belongs to adds nothing to the loss
        weights = targets.region_weights * tf.cast(count > 0, tf.float32)
        return tf.reduce_sum(distance * weights[:, tf.newaxis], axis=0)


def targets_spec(spec: ObjectiveSpec) -> Targets:
    """Return the signature of `Targets`, for any size and number of images."""
    content, style = spec.content_maps, spec.style_maps
    return Targets(
        content={
            name: tf.TensorSpec([None, None, None, channels(name)], dtype(name, spec.precision)) for name in content
        },
        content_mean_square={name: tf.TensorSpec([None]) for name in content},
        content_count=dict.fromkeys(content, SCALAR_SPEC),
        style={name: _moments_spec(name) for name in style},
        style_root={name: _moments_spec(name).second for name in style if spec.statistic(name) == "wasserstein"},
        style_count={name: tf.TensorSpec([None]) for name in style},
        masks={name: tf.TensorSpec([spec.regions, None, None]) for name in style} if spec.regions else {},
        region_weights=tf.TensorSpec([None]),
        variation_count=tf.TensorSpec([None]),
    )


def weights_spec(spec: ObjectiveSpec) -> LossWeights:
    """Return the signature of `LossWeights`."""
    content, style = (dict.fromkeys(names, SCALAR_SPEC) for names in (spec.content_maps, spec.style_maps))
    return LossWeights(content, style, SCALAR_SPEC)


def sums_spec(spec: ObjectiveSpec) -> Sums:
    """Return the signature of `Sums`, for any number of images."""
    return Sums(
        moments={name: _moments_spec(name) for name in spec.style_maps},
        squares={name: tf.TensorSpec([None]) for name in spec.content_maps},
        variation=tf.TensorSpec([None, None]),
    )


def _moments_spec(name: str) -> Moments:
    """Return the signature of moments of a style map, for any number of regions and images."""
    count = channels(name)
    return Moments(tf.TensorSpec([None, None, count]), tf.TensorSpec([None, None, count, count]))
