"""The terms of the loss: content, style and total variation, each one number per image.

Source: Gatys, Ecker and Bethge, Image Style Transfer Using Convolutional Neural Networks, 2016, equations 1 to 5,
with means instead of sums, as the widely used implementations have it. Shapes: a feature map F is
`[batch, height, width, channels]`, a Gram matrix G `[batch, channels, channels]`, a loss `[batch]`. Sums and losses
are float32 whatever the features' dtype: in float16 a Gram matrix overflows.

The style loss depends on the image through Gram matrices alone and the content loss through sums of squares alone,
so both can be added up over the tiles of an image.

Differs from the source: `gram_normalization: paper` divides each Gram matrix by its own number of positions M. That is
the paper's formula where style and image have the same M, and stays comparable where they do not.
"""

from typing import Any

import tensorflow as tf

#: Turns the mean over the N² entries of Gram matrices divided by M into the paper's 1 / (4·N²·M²) of a plain sum.
_GRAM_FACTORS = {"positions": 1.0, "paper": 0.25}
#: Guards against division by zero for a target that is zero everywhere.
_EPSILON = 1e-12


def gram_matrix(features: Any) -> Any:
    """Correlate the channels: G[c, d] = Σ_ij F[i, j, c] · F[i, j, d] / (height · width)."""
    return gram_sums(features) / position_count(features)


def gram_sums(features: Any, mask: Any = None) -> Any:
    """Correlate the channels without dividing; a `mask` `[height, width]` is multiplied into F first."""
    features = tf.cast(features, tf.float32)
    if mask is not None:
        features *= mask[tf.newaxis, :, :, tf.newaxis]
    return tf.linalg.einsum("bijc,bijd->bcd", features, features)


def position_count(features: Any) -> Any:
    """Return height · width of a feature map, as float32."""
    shape = tf.shape(features)
    return tf.cast(shape[1] * shape[2], tf.float32)


def square_sums(features: Any, targets: Any) -> Any:
    """Sum (F - P)² over each image."""
    difference = tf.cast(features, tf.float32) - tf.cast(targets, tf.float32)
    return tf.reduce_sum(tf.square(difference), axis=[1, 2, 3])


def gram_distance(actual: Any, target: Any, *, scaling: str, normalization: str) -> Any:
    """Average (G - A)² over the matrix; `scaling` "target" divides by the mean square of the target A."""
    distance = tf.reduce_mean(tf.square(actual - target), axis=[-2, -1])
    if scaling == "target":
        distance /= tf.reduce_mean(tf.square(target), axis=[-2, -1]) + _EPSILON
    return distance * _GRAM_FACTORS[normalization]


def content_distance(sums: Any, count: Any, target_mean_square: Any, *, scaling: str) -> Any:
    """Average squares summed over `count` values; `scaling` "target" divides by the target's mean square."""
    distance = sums / count
    return distance / (target_mean_square + _EPSILON) if scaling == "target" else distance


def variation_sums(images: Any, box: Any = None) -> Any:
    """Sum the squared differences of vertical and of horizontal neighbours: `[batch, 2]`.

    A `box` (top, left, bottom, right) limits the sums to pairs whose first pixel lies in it.
    """
    vertical = images[:, 1:] - images[:, :-1]
    horizontal = images[:, :, 1:] - images[:, :, :-1]
    if box is not None:
        vertical, horizontal = (pairs[:, box[0] : box[2], box[1] : box[3]] for pairs in (vertical, horizontal))
    return tf.stack([tf.reduce_sum(tf.square(pairs), axis=[1, 2, 3]) for pairs in (vertical, horizontal)], axis=-1)
