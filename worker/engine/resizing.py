"""How pictures are brought to the size of a scale. Sizes are (height, width) in pixels, as arrays have them."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def resized(picture: Any, size: tuple[int, int], *, antialias: bool) -> Any:
    """Resize `[height, width, 3]` bilinearly into a batch of one.

    With `antialias` a pixel averages all that falls into it; without, it samples four, as the recipe does.
    """
    return tf.image.resize(picture[tf.newaxis], size, method="bilinear", antialias=antialias)
