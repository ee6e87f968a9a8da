"""What the images of a scale are compared with: the content's maps and the moments of the styles' maps.

A style's moments depend on nothing else of a job, so they are cached across jobs: the second job of a style
starts at once, even in another process. A style that is recoloured to the content is computed anew for each image.
Transparent places of a style are no part of its moments.

Sizes are (height, width) in pixels.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from shared.errors import InvalidParams
from shared.imaging.filling import fill_hidden
from shared.painting.params import StyleParams
from shared.painting.sizes import fit_long_side, style_long_side
from worker.engine.compute.moment_cache import MomentCache, StyleMoments
from worker.engine.objective.losses import variation_counts
from worker.engine.objective.maps import PIXELS, is_layer, map_size
from worker.engine.objective.moments import Moments, covariance_root
from worker.engine.objective.total_loss import ObjectiveSpec, Targets
from worker.engine.optimizers.state import Hyperparameters, OptimizerState
from worker.engine.pictures import colors
from worker.engine.pictures.masks import layer_masks, resize_mask
from worker.engine.pictures.resizing import resize
from worker.engine.types import Mask, Picture, Style
from worker.engine.vgg.network import Network

#: Values that are squared at once, which bounds the temporaries.
_STRIP_VALUES = 2**24

#: The moments that this process has at hand.
moment_cache = MomentCache()


class Evaluator(Protocol):
    """Evaluates images and updates them: whole or tile by tile."""

    def content(self, images: Any) -> dict[str, Any]:
        """Return the content maps, `[batch, h, w, c]` each."""

    def moments(self, images: Any, masks: Mapping[str, Any] | None = None) -> dict[str, Moments]:
        """Return the moments of the style maps: means `[batch, c]` and Gram matrices `[batch, c, c]`.

        Positions count by the square of `masks`, `[1, h, w]` by style map, each above 0 somewhere.
        """

    def run_steps(
        self, state: OptimizerState, targets: Targets, hparams: Hyperparameters, *, done: int, before: int, count: int
    ) -> tuple[OptimizerState, NDArray[np.float32]]:
        """Make up to `count` updates: an evaluator may stop at the first step whose losses are not finite.

        `done` updates were made at this scale, `before` at smaller ones. Returns the state and the losses of each step
        that was evaluated, `[up to count, batch, 4]`: total, content, style, tv. That is at least one step.
        """


class StyleSet(NamedTuple):
    """The styles of a run, and how their moments are computed.

    `evaluator_for` returns the evaluator for style images of a size.
    """

    styles: Sequence[Style]
    params: StyleParams
    network: Network
    spec: ObjectiveSpec
    evaluator_for: Callable[[tuple[int, int]], Evaluator]

    def moments(self, long_side: int, content: Picture) -> list[StyleMoments]:
        """Return the moments of each style for a `content` of `long_side` pixels."""
        return [self._moments(style, long_side, content) for style in self.styles]

    def _moments(self, style: Style, long_side: int, content: Picture) -> StyleMoments:
        size = fit_long_side(style.picture.shape, style_long_side(long_side, self.params.style_scale))
        if self.params.colors != "style" or not style.key:
            return self._compute(style, size, content)
        relevant = self.spec._replace(content_maps=(), optimizer="", averaged=False, regions=0)
        key = size, self.params.antialias, self.network.sha256, tuple(relevant)
        return moment_cache.get(style.key, key, lambda: self._compute(style, size, content))

    def _compute(self, style: Style, size: tuple[int, int], content: Picture) -> StyleMoments:
        image = resize(style.picture, size, antialias=self.params.antialias)
        visible = _visible(style, size)
        if self.params.colors != "style":
            image = tf.constant(self._recolored(image[0].numpy(), visible, content)[np.newaxis])
        masks = None if visible is None else self._masks_of(visible)
        found = self.evaluator_for(size).moments(image, masks)
        return {name: Moments(*(part.numpy()[0] for part in found[name])) for name in self.spec.style_maps}

    def _recolored(self, image: Picture, visible: Mask | None, content: Picture) -> Picture:
        """Recolour a style by the colours of its visible places; the others get theirs from those."""
        recolor = colors.RECOLORINGS[self.params.colors]
        if visible is None:
            return recolor(image, content)
        recolored = np.zeros_like(image)
        recolored[visible > 0] = recolor(image[visible > 0][np.newaxis], content)[0]
        fill_hidden(recolored, visible)
        return recolored

    def _masks_of(self, visible: Mask) -> dict[str, Any]:
        """Return how visible a style is for each style map, `[1, h, w]`; all of it where a map sees nothing of it."""
        found = _masks_by_map(visible, self.spec)
        return {
            name: tf.constant((mask if mask.any() else np.ones_like(mask))[np.newaxis]) for name, mask in found.items()
        }


def _visible(style: Style, size: tuple[int, int]) -> Mask | None:
    """Return the opacity of a style at the size (height, width); None if it is opaque."""
    if style.opacity is None or style.opacity.min() == 1:
        return None
    return resize_mask(style.opacity, size)


def blend_weights(styles: Sequence[Style]) -> list[float]:
    """Return the styles' weights scaled to a sum of 1; raise `InvalidParams` if none is above 0."""
    total = sum(style.weight for style in styles)
    if not total > 0:
        raise InvalidParams("At least one style must have a weight above 0.", parameter="styles")
    return [style.weight / total for style in styles]


def build_targets(
    contents: Any, content_maps: dict[str, Any], moments: Sequence[list[StyleMoments]], styles: StyleSet
) -> Targets:
    """Assemble the targets of a batch.

    `contents` are the images `[batch, height, width, 3]`, `content_maps` their maps; `moments` are those of
    each style for each content, or for all contents alike.
    """
    spec, size = styles.spec, (int(contents.shape[1]), int(contents.shape[2]))
    weights = blend_weights(styles.styles)
    masks = _region_masks(styles, size) if spec.regions else {}
    style = {name: _style_target(name, moments, weights, regions=spec.regions) for name in spec.style_maps}
    return Targets(
        content=content_maps,
        content_mean_square={name: _mean_squares(maps) for name, maps in content_maps.items()},
        content_count={name: tf.constant(np.prod(maps.shape[1:]), tf.float32) for name, maps in content_maps.items()},
        style={name: Moments(*map(tf.constant, target)) for name, target in style.items()},
        style_root={
            name: tf.constant(covariance_root(target))
            for name, target in style.items()
            if spec.statistic(name) == "wasserstein"
        },
        style_count={name: _position_counts(name, size, spec, masks) for name in spec.style_maps},
        masks={name: tf.constant(mask) for name, mask in masks.items()},
        region_weights=tf.constant(weights if spec.regions else [1.0], tf.float32),
        variation_count=tf.constant(variation_counts(size, stencil=spec.tv_stencil), tf.float32),
    )


def _style_target(
    name: str, moments: Sequence[list[StyleMoments]], weights: Sequence[float], *, regions: int
) -> Moments:
    """Arrange moments as `[regions or 1, batch or 1, …]`: one region per style, or all styles blended."""

    def blended(own: list[StyleMoments], part: int) -> NDArray[np.float32]:
        pairs = zip(own, weights, strict=True)
        return np.asarray(sum(np.float32(weight) * style[name][part] for style, weight in pairs), np.float32)

    if regions:
        return Moments(
            *(
                np.stack([np.stack([own[region][name][part] for own in moments]) for region in range(regions)])
                for part in range(2)
            )
        )
    return Moments(*(np.stack([blended(own, part) for own in moments])[np.newaxis] for part in range(2)))


def _region_masks(styles: StyleSet, size: tuple[int, int]) -> dict[str, NDArray[np.float32]]:
    """Return the mask of each style for each style map, `[regions, h, w]`: ones for a style without a mask."""
    ones = np.ones(size, np.float32)
    masks = [ones if style.mask is None else resize_mask(style.mask, size) for style in styles.styles]
    per_style = [_masks_by_map(mask, styles.spec) for mask in masks]
    return {name: np.stack([masks[name] for masks in per_style]) for name in styles.spec.style_maps}


def _masks_by_map(mask: Mask, spec: ObjectiveSpec) -> dict[str, Mask]:
    """Return a mask of an image for each style map."""
    layers = [name for name in spec.style_maps if is_layer(name)]
    masks = {PIXELS: mask, **layer_masks(mask, layers, spec.padding)}
    return {name: masks[name] for name in spec.style_maps}


def _position_counts(
    name: str, size: tuple[int, int], spec: ObjectiveSpec, masks: dict[str, NDArray[np.float32]]
) -> Any:
    """Return what each region's Gram sums are divided by: its positions, weighted by the squared mask."""
    if masks:
        return tf.constant(np.square(masks[name]).sum(axis=(1, 2)), tf.float32)
    height, width = map_size(size, name, mirrored=spec.padding == "mirror")
    return tf.constant([height * width], tf.float32)


def _mean_squares(maps: Any) -> Any:
    """Return the mean square of the feature maps `[batch, h, w, c]` of each image: `[batch]`."""
    rows = max(1, _STRIP_VALUES // int(np.prod(maps.shape[2:])))
    strips = (tf.cast(maps[:, top : top + rows], tf.float32) for top in range(0, maps.shape[1], rows))
    sums = tf.add_n([tf.reduce_sum(tf.square(strip), axis=[1, 2, 3]) for strip in strips])
    return sums / float(np.prod(maps.shape[1:]))
