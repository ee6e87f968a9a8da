"""What the images of a scale are compared with: the content's feature maps and the styles' Gram matrices.

A style's Gram matrices depend on nothing else of a job, so they are cached across jobs: the second job of a style
starts at once. A style that is recoloured to the content is computed anew for each image.

Sizes are (height, width) in pixels.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf
from cachetools import LRUCache
from numpy.typing import NDArray

from shared.errors import InvalidParams
from shared.painting.params import StyleParams
from shared.painting.sizes import fit_long_side, style_long_side
from shared.painting.vgg19 import map_size
from worker.engine.objective.total_loss import ObjectiveSpec, Targets
from worker.engine.optimizers.state import Hyperparameters, OptimizerState
from worker.engine.pictures import colors
from worker.engine.pictures.masks import layer_masks, resize_mask
from worker.engine.pictures.resizing import resize
from worker.engine.types import Picture, Style
from worker.engine.vgg.network import Network

#: Size of the cache of Gram matrices: some hundred styles at a few sizes.
_CACHE_BYTES = 2**28
#: Values that are squared at once, which bounds the temporaries.
_STRIP_VALUES = 2**24

Grams = dict[str, NDArray[np.float32]]


class Evaluator(Protocol):
    """Evaluates images and updates them: whole or tile by tile."""

    def content(self, images: Any) -> dict[str, Any]:
        """Return the feature maps of the content layers, `[batch, h, w, c]` each."""

    def grams(self, images: Any) -> dict[str, Any]:
        """Return the Gram matrices of the style layers, `[batch, c, c]` each."""

    def run_steps(
        self, state: OptimizerState, targets: Targets, hparams: Hyperparameters, *, done: int, before: int, count: int
    ) -> tuple[OptimizerState, NDArray[np.float32]]:
        """Make up to `count` updates: an evaluator may stop at the first step whose losses are not finite.

        `done` updates were made at this scale, `before` at smaller ones. Returns the state and the losses of each step
        that was evaluated, `[up to count, batch, 4]`: total, content, style, tv. That is at least one step.
        """


_cache: LRUCache[Any, Grams] = LRUCache(_CACHE_BYTES, lambda grams: sum(gram.nbytes for gram in grams.values()))


class StyleSet(NamedTuple):
    """The styles of a run, and how their Gram matrices are computed.

    `evaluator_for` returns the evaluator for style images of a size.
    """

    styles: Sequence[Style]
    params: StyleParams
    network: Network
    spec: ObjectiveSpec
    evaluator_for: Callable[[tuple[int, int]], Evaluator]

    def grams(self, long_side: int, content: Picture) -> list[Grams]:
        """Return the Gram matrices of each style for a `content` of `long_side` pixels."""
        return [self._grams(style, long_side, content) for style in self.styles]

    def _grams(self, style: Style, long_side: int, content: Picture) -> Grams:
        size = fit_long_side(style.picture.shape, style_long_side(long_side, self.params.style_scale))
        if self.params.colors != "style" or not style.key:
            return self._compute(style, size, content)
        relevant = self.spec._replace(content_layers=(), optimizer="", averaged=False, regions=0)
        key = style.key, size, self.params.antialias, self.network.sha256, relevant
        if key not in _cache:
            _cache[key] = self._compute(style, size, content)
        return _cache[key]

    def _compute(self, style: Style, size: tuple[int, int], content: Picture) -> Grams:
        image = resize(style.picture, size, antialias=self.params.antialias)
        if self.params.colors != "style":
            recolor = colors.match_colors if self.params.colors == "match" else colors.match_luminance
            image = tf.constant(recolor(image[0].numpy(), content)[np.newaxis])
        grams = self.evaluator_for(size).grams(image)
        return {layer: grams[layer].numpy()[0] for layer in self.spec.style_layers}


def blend_weights(styles: Sequence[Style]) -> list[float]:
    """Return the styles' weights scaled to a sum of 1; raise `InvalidParams` if none is above 0."""
    total = sum(style.weight for style in styles)
    if not total > 0:
        raise InvalidParams("At least one style must have a weight above 0.", parameter="styles")
    return [style.weight / total for style in styles]


def build_targets(
    contents: Any, content_maps: dict[str, Any], grams: Sequence[list[Grams]], styles: StyleSet
) -> Targets:
    """Assemble the targets of a batch.

    `contents` are the images `[batch, height, width, 3]`, `content_maps` their feature maps; `grams` are the Gram
    matrices of each style for each content, or for all contents alike.
    """
    spec, size = styles.spec, (int(contents.shape[1]), int(contents.shape[2]))
    weights = blend_weights(styles.styles)
    masks = _masks_by_layer(styles, size) if spec.regions else {}
    return Targets(
        content=content_maps,
        content_mean_square={layer: _mean_squares(maps) for layer, maps in content_maps.items()},
        content_count={layer: tf.constant(np.prod(maps.shape[1:]), tf.float32) for layer, maps in content_maps.items()},
        style={layer: _style_target(layer, grams, weights, regions=spec.regions) for layer in spec.style_layers},
        style_count={layer: _position_counts(layer, size, spec, masks) for layer in spec.style_layers},
        masks={layer: tf.constant(mask) for layer, mask in masks.items()},
        region_weights=tf.constant(weights if spec.regions else [1.0], tf.float32),
        variation_count=tf.constant([max(1, (size[0] - 1) * size[1]), max(1, size[0] * (size[1] - 1))], tf.float32),
    )


def _style_target(layer: str, grams: Sequence[list[Grams]], weights: Sequence[float], *, regions: int) -> Any:
    """Arrange Gram matrices as `[regions or 1, batch or 1, c, c]`: one region per style, or all styles blended."""
    if regions:
        return tf.constant(np.stack([np.stack([own[region][layer] for own in grams]) for region in range(regions)]))
    blends = [
        sum((np.float32(weight) * gram[layer] for gram, weight in zip(own, weights, strict=True)), np.float32(0))
        for own in grams
    ]
    return tf.constant(np.stack(blends)[np.newaxis])


def _masks_by_layer(styles: StyleSet, size: tuple[int, int]) -> dict[str, NDArray[np.float32]]:
    """Return the mask of each style for each style layer, `[regions, h, w]`: ones for a style without a mask."""
    ones = np.ones(size, np.float32)
    per_style = [
        layer_masks(
            ones if style.mask is None else resize_mask(style.mask, size), styles.spec.style_layers, styles.spec.padding
        )
        for style in styles.styles
    ]
    return {layer: np.stack([masks[layer] for masks in per_style]) for layer in styles.spec.style_layers}


def _position_counts(
    layer: str, size: tuple[int, int], spec: ObjectiveSpec, masks: dict[str, NDArray[np.float32]]
) -> Any:
    """Return what each region's Gram sums are divided by: its positions, weighted by the squared mask."""
    if masks:
        return tf.constant(np.square(masks[layer]).sum(axis=(1, 2)), tf.float32)
    height, width = map_size(size, layer, mirrored=spec.padding == "mirror")
    return tf.constant([height * width], tf.float32)


def _mean_squares(maps: Any) -> Any:
    """Return the mean square of the feature maps `[batch, h, w, c]` of each image: `[batch]`."""
    rows = max(1, _STRIP_VALUES // int(np.prod(maps.shape[2:])))
    strips = (tf.cast(maps[:, top : top + rows], tf.float32) for top in range(0, maps.shape[1], rows))
    sums = tf.add_n([tf.reduce_sum(tf.square(strip), axis=[1, 2, 3]) for strip in strips])
    return sums / float(np.prod(maps.shape[1:]))
