"""What a scale's pictures are drawn to: the content's activations and the styles' Gram matrices.

A style's Gram matrices depend on nothing of the job but its style, so they are kept for the jobs that follow: the
second job of a style begins at once.

Limits: a style recoloured after the content is computed anew for each picture. Sizes are (height, width) in pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf
from cachetools import LRUCache
from numpy.typing import NDArray

from shared.errors import InvalidParams
from shared.painting.params import StyleParams
from shared.painting.sizes import fitted, style_side
from shared.painting.vgg19 import map_size
from worker.engine.objective.objective import Recipe, Targets
from worker.engine.optimizers.state import Painting, Settings
from worker.engine.pictures import colors
from worker.engine.pictures.masks import fitted_mask, layer_masks
from worker.engine.pictures.resizing import resized
from worker.engine.types import Picture, Style
from worker.engine.vgg.network import Network

#: Bytes of Gram matrices that are kept, some hundred styles at a few sizes.
_MOST_BYTES = 2**28
#: Values that are squared at once.
_STRIP_VALUES = 2**24

Grams = dict[str, NDArray[np.float32]]


class Computation(Protocol):
    """Something that evaluates and paints: on whole pictures or tile by tile."""

    def content(self, pictures: Any) -> dict[str, Any]:
        """Evaluate the content layers: `[batch, h, w, c]` each."""

    def grams(self, pictures: Any) -> dict[str, Any]:
        """Correlate the style layers: `[batch, c, c]` each."""

    def advance(
        self, painting: Painting, targets: Targets, settings: Settings, *, first: int, before: int, count: int
    ) -> tuple[Painting, NDArray[np.float32]]:
        """Make `count` updates, fewer where a loss is not finite; return the painting and the losses of each."""


def _bytes(grams: Grams) -> int:
    return sum(gram.nbytes for gram in grams.values())


_kept: LRUCache[Any, Grams] = LRUCache(_MOST_BYTES, getsizeof=_bytes)


class StyleSource(NamedTuple):
    """The styles of a run, and what their Gram matrices are computed with.

    `computation` gives the computation for pictures of a size.
    """

    styles: Sequence[Style]
    params: StyleParams
    network: Network
    recipe: Recipe
    computation: Callable[[tuple[int, int]], Computation]

    def grams(self, side: int, content: Picture) -> list[Grams]:
        """Compute each style's Gram matrices where the content is `content`, its long side `side`."""
        return [self._grams(style, side, content) for style in self.styles]

    def _grams(self, style: Style, side: int, content: Picture) -> Grams:
        size = fitted(style.picture.shape, style_side(side, self.params.style_scale))
        if self.params.colors != "style" or not style.key:
            return self._computed(style, size, content)
        seen = self.recipe._replace(content_layers=(), optimizer="", averaged=False, regions=0)
        key = style.key, size, self.params.antialias, self.network.sha256, seen
        if key not in _kept:
            _kept[key] = self._computed(style, size, content)
        return _kept[key]

    def _computed(self, style: Style, size: tuple[int, int], content: Picture) -> Grams:
        picture = resized(style.picture, size, antialias=self.params.antialias)
        if self.params.colors != "style":
            recolored = colors.matched if self.params.colors == "match" else colors.grey_matched
            picture = tf.constant(recolored(picture[0].numpy(), content)[np.newaxis])
        found = self.computation(size).grams(picture)
        return {layer: found[layer].numpy()[0] for layer in self.recipe.style_layers}


def shares(styles: Sequence[Style]) -> list[float]:
    """Tell each style's share of the blend; raise `InvalidParams` if none has a weight."""
    total = sum(style.weight for style in styles)
    if not total > 0:
        raise InvalidParams("At least one style must have a weight above 0.", parameter="styles")
    return [style.weight / total for style in styles]


def targets(contents: Any, maps: dict[str, Any], styles: Sequence[list[Grams]], source: StyleSource) -> Targets:
    """Put together what a batch `[batch, height, width, 3]` of contents is drawn to.

    `maps` are its activations, `styles` the Gram matrices of each style for each of its pictures.
    """
    recipe, size = source.recipe, (int(contents.shape[1]), int(contents.shape[2]))
    portions = shares(source.styles)
    masks = _masks(source, size) if recipe.regions else {}
    return Targets(
        content=maps,
        content_scale={layer: _mean_squares(found) for layer, found in maps.items()},
        content_count={layer: tf.constant(np.prod(found.shape[1:]), tf.float32) for layer, found in maps.items()},
        style={layer: _stacked(layer, styles, portions, regions=recipe.regions) for layer in recipe.style_layers},
        style_count={layer: _counts(layer, size, recipe, masks) for layer in recipe.style_layers},
        masks={layer: tf.constant(found) for layer, found in masks.items()},
        shares=tf.constant(portions if recipe.regions else [1.0], tf.float32),
        tv_count=tf.constant([max(1, (size[0] - 1) * size[1]), max(1, size[0] * (size[1] - 1))], tf.float32),
    )


def _stacked(layer: str, styles: Sequence[list[Grams]], portions: Sequence[float], *, regions: int) -> Any:
    """Arrange Gram matrices `[regions or 1, batch, c, c]`: each style its region, or all blended."""
    if regions:
        return tf.constant(np.stack([np.stack([own[region][layer] for own in styles]) for region in range(regions)]))
    blends = [
        sum((np.float32(portion) * grams[layer] for grams, portion in zip(own, portions, strict=True)), np.float32(0))
        for own in styles
    ]
    return tf.constant(np.stack(blends)[np.newaxis])


def _masks(source: StyleSource, size: tuple[int, int]) -> dict[str, NDArray[np.float32]]:
    """Bring each style's mask to each style layer: `[regions, h, w]`; a style without one is painted everywhere."""
    everywhere = np.ones(size, np.float32)
    per_style = [
        layer_masks(
            everywhere if style.mask is None else fitted_mask(style.mask, size),
            source.recipe.style_layers,
            source.recipe.padding,
        )
        for style in source.styles
    ]
    return {layer: np.stack([masks[layer] for masks in per_style]) for layer in source.recipe.style_layers}


def _counts(layer: str, size: tuple[int, int], recipe: Recipe, masks: dict[str, NDArray[np.float32]]) -> Any:
    """Count the positions that each region's sums are divided by: `[regions or 1]`."""
    if masks:
        return tf.constant(np.square(masks[layer]).sum(axis=(1, 2)), tf.float32)
    height, width = map_size(size, layer, mirrored=recipe.padding == "mirror")
    return tf.constant([height * width], tf.float32)


def _mean_squares(maps: Any) -> Any:
    """Average the squares of activations `[batch, h, w, c]`, a picture at a time: `[batch]`."""
    rows = max(1, _STRIP_VALUES // int(np.prod(maps.shape[2:])))
    strips = (tf.cast(maps[:, top : top + rows], tf.float32) for top in range(0, maps.shape[1], rows))
    sums = tf.add_n([tf.reduce_sum(tf.square(strip), axis=[1, 2, 3]) for strip in strips])
    return sums / float(np.prod(maps.shape[1:]))
