"""Resizing images to a scale. Sizes are (height, width) in pixels."""

from typing import Any

import tensorflow as tf


def resize(image: Any, size: tuple[int, int], *, antialias: bool) -> Any:
    """Resize `[height, width, 3]` in 0 to 1 to `[1, *size, 3]`.

    With `antialias` by Lanczos3 over all pixels: a triangle filter as wide blurs the strokes and leaves a painting at
    384 px 0.02 to 0.06 further from its own style. Without, bilinearly between four pixels, as the published recipe.
    """
    if not antialias:
        return tf.image.resize(image[tf.newaxis], size, method="bilinear")
    # Lanczos3 overshoots at edges
    return tf.clip_by_value(tf.image.resize(image[tf.newaxis], size, method="lanczos3", antialias=True), 0.0, 1.0)
