"""What is minimised: content, style and total variation, each as one number.

Source: Gatys, Ecker and Bethge, Image Style Transfer Using Convolutional Neural Networks, 2016, equations 1 to 5,
with the means instead of sums of the widely used implementations. Shapes: a feature map F is
`[1, height, width, channels]`, a Gram matrix G `[1, channels, channels]`; all float32. `weights` already hold the
weight of the whole loss and the average over its layers.

Differs from the source: `gram_normalization: paper` divides each Gram by its own number of positions M, which is
the paper's formula where style and picture have the same M, and stays comparable where they do not.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

#: What turns the mean over N² entries of Grams divided by M into the paper's 1 / (4·N²·M²) of a plain sum.
_GRAM_FACTORS = {"positions": 1.0, "paper": 0.25}


def gram(features: Any) -> Any:
    """Correlate the channels: G[c, d] = Σ_ij F[i, j, c] · F[i, j, d] / (height · width)."""
    shape = tf.shape(features)
    sums = tf.linalg.einsum("bijc,bijd->bcd", features, features)
    return sums / tf.cast(shape[1] * shape[2], features.dtype)


def content_loss(features: dict[str, Any], targets: dict[str, Any], weights: dict[str, Any], *, scaling: str) -> Any:
    """Add up over layers the weighted mean of (F - P)²."""
    return tf.add_n([weights[layer] * _distance(features[layer], targets[layer], scaling) for layer in targets])


def style_loss(
    features: dict[str, Any], targets: dict[str, Any], weights: dict[str, Any], *, scaling: str, normalization: str
) -> Any:
    """Add up over layers the weighted mean of (G - A)²; `targets` are the Grams of the style."""
    parts = [weights[layer] * _distance(gram(features[layer]), targets[layer], scaling) for layer in targets]
    return tf.add_n(parts) * _GRAM_FACTORS[normalization]


def total_variation(pictures: Any) -> Any:
    """Sum the mean squared differences of neighbours across and down; 0 for a flat picture."""
    down = pictures[:, 1:] - pictures[:, :-1]
    across = pictures[:, :, 1:] - pictures[:, :, :-1]
    return tf.reduce_mean(tf.square(down)) + tf.reduce_mean(tf.square(across))


def _distance(actual: Any, target: Any, scaling: str) -> Any:
    """Mean squared difference; scaled by `target`, in units of the target's own mean square."""
    distance = tf.reduce_mean(tf.square(actual - target))
    if scaling == "target":
        distance /= tf.reduce_mean(tf.square(target)) + 1e-12
    return distance
