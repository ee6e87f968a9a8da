"""Resizing images to the size of a scale of the coarse-to-fine pyramid. Sizes are (height, width) in pixels."""

from typing import Any

import tensorflow as tf


def resize(image: Any, size: tuple[int, int], *, antialias: bool) -> Any:
    """Resize `[height, width, 3]` in 0 to 1 to `[1, *size, 3]`.

    With `antialias`, use Lanczos3, which averages all pixels that it covers; TensorFlow's antialiased bilinear filter
    would blur the strokes, as `docs/pictures.md` measures. Without, interpolate between four pixels, as `classic` does.
    """
    if not antialias:
        return tf.image.resize(image[tf.newaxis], size, method="bilinear")
    # Lanczos3 overshoots at edges
    return tf.clip_by_value(tf.image.resize(image[tf.newaxis], size, method="lanczos3", antialias=True), 0.0, 1.0)
