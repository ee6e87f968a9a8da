"""What is minimised: content, style and total variation, each as one number per picture.

Source: Gatys, Ecker and Bethge, Image Style Transfer Using Convolutional Neural Networks, 2016, equations 1 to 5,
with the means instead of sums of the widely used implementations. Shapes: a feature map F is
`[batch, height, width, channels]`, a Gram matrix G `[batch, channels, channels]`, a loss `[batch]`. Whatever the
features' type, sums and losses are float32: in less, a Gram matrix overflows.

The style loss is a function of Gram matrices alone and the content loss of sums of squares alone, so that both may
be added up from the tiles of a picture.

Differs from the source: `gram_normalization: paper` divides each Gram by its own number of positions M, which is
the paper's formula where style and picture have the same M, and stays comparable where they do not.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

#: What turns the mean over N² entries of Grams divided by M into the paper's 1 / (4·N²·M²) of a plain sum.
_GRAM_FACTORS = {"positions": 1.0, "paper": 0.25}
#: Keeps a target that is zero everywhere from dividing by zero.
_TINY = 1e-12


def gram(features: Any) -> Any:
    """Correlate the channels: G[c, d] = Σ_ij F[i, j, c] · F[i, j, d] / (height · width)."""
    return gram_sums(features) / positions(features)


def gram_sums(features: Any, mask: Any = None) -> Any:
    """Correlate the channels without dividing; with a `mask` `[height, width]`, F counts as mask · F."""
    features = tf.cast(features, tf.float32)
    if mask is not None:
        features *= mask[tf.newaxis, :, :, tf.newaxis]
    return tf.linalg.einsum("bijc,bijd->bcd", features, features)


def positions(features: Any) -> Any:
    """Count the positions of a feature map."""
    shape = tf.shape(features)
    return tf.cast(shape[1] * shape[2], tf.float32)


def square_sums(features: Any, targets: Any) -> Any:
    """Add up (F - P)² of each picture."""
    difference = tf.cast(features, tf.float32) - tf.cast(targets, tf.float32)
    return tf.reduce_sum(tf.square(difference), axis=[1, 2, 3])


def gram_distance(actual: Any, target: Any, *, scaling: str, normalization: str) -> Any:
    """Average (G - A)² over the matrix; scaled by `target`, in units of the target's own mean square."""
    distance = tf.reduce_mean(tf.square(actual - target), axis=[-2, -1])
    if scaling == "target":
        distance /= tf.reduce_mean(tf.square(target), axis=[-2, -1]) + _TINY
    return distance * _GRAM_FACTORS[normalization]


def content_distance(sums: Any, count: Any, target_scale: Any, *, scaling: str) -> Any:
    """Average squares summed over `count` values; scaled by `target`, in units of `target_scale`, its mean square."""
    distance = sums / count
    return distance / (target_scale + _TINY) if scaling == "target" else distance


def variation_sums(pictures: Any, box: Any = None) -> Any:
    """Add up the squared differences of neighbours, down and across: `[batch, 2]`.

    With a `box` (top, left, bottom, right) only the pairs count whose first pixel lies in it.
    """
    down = pictures[:, 1:] - pictures[:, :-1]
    across = pictures[:, :, 1:] - pictures[:, :, :-1]
    if box is not None:
        down, across = (pairs[:, box[0] : box[2], box[1] : box[3]] for pairs in (down, across))
    return tf.stack([tf.reduce_sum(tf.square(pairs), axis=[1, 2, 3]) for pairs in (down, across)], axis=-1)
