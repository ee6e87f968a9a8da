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
#: The weight of each direction's mean squared differences.
_STENCILS = {"five-point": [1.0, 1.0], "nine-point": [2 / 3, 2 / 3, 1 / 6, 1 / 6]}
#: Guards against division by zero for a target that is zero everywhere.
_EPSILON = 1e-12


def gram_matrix(features: Any) -> Any:
    """Correlate the channels: G[c, d] = Σ_ij F[i, j, c] · F[i, j, d] / (height · width)."""
    return gram_sums(features) / position_count(features)


def gram_sums(features: Any, mask: Any = None) -> Any:
    """Correlate the channels without dividing; a `mask` `[height, width]` is multiplied into F first."""
    if mask is not None:
        features = tf.cast(features, tf.float32) * mask[tf.newaxis, :, :, tf.newaxis]
    return _products(features)


@tf.custom_gradient  # type: ignore[untyped-decorator]  # TensorFlow has no types
def _products(features: Any) -> tuple[Any, Any]:
    """Return FᵀF `[batch, channels, channels]`, in float32 whatever the features' dtype.

    FᵀF is symmetric, so its gradient takes one product where TensorFlow's own takes two; it is computed, as all that
    flows back through the network, in the features' dtype.
    """
    shape = tf.shape(features)
    positions = shape[1] * shape[2]
    rows = tf.reshape(features, [shape[0], positions, features.shape[-1]])
    rows = tf.pad(rows, [[0, 0], [0, _rounded_up(positions) - positions], [0, 0]])
    exact = tf.cast(rows, tf.float32)

    def gradient(upstream: Any) -> Any:
        both = tf.cast(upstream + tf.linalg.matrix_transpose(upstream), features.dtype)
        products = tf.slice(tf.matmul(rows, both), [0, 0, 0], [-1, positions, -1])
        return tf.reshape(products, shape)

    return tf.matmul(exact, exact, transpose_a=True), gradient


def _rounded_up(count: Any) -> Any:
    """Round up to one of four numbers per octave: oneDNN keeps memory for each shape of a product, for good."""
    octave = tf.cast(tf.math.log(tf.cast(count, tf.float32)) / tf.math.log(2.0), tf.int32)
    step = tf.bitwise.left_shift(1, tf.maximum(octave - 2, 0))
    return -(-count // step) * step


def feature_sums(features: Any, mask: Any = None) -> Any:
    """Add up the feature vectors `[batch, channels]`, weighted by the square of a `mask` as Gram sums are."""
    features = tf.cast(features, tf.float32)
    if mask is not None:
        features *= tf.square(mask)[tf.newaxis, :, :, tf.newaxis]
    # by rows first: one by one, the last of many like values would be rounded to what the sum has room for
    return tf.reduce_sum(tf.reduce_sum(features, axis=2), axis=1)


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


def variation_sums(images: Any, box: Any = None, *, stencil: str = "five-point") -> Any:
    """Sum the squared differences of neighbours: `[batch, directions]`.

    The directions are vertical and horizontal, and with the stencil `nine-point` the two diagonals. A `box` (top, left,
    bottom, right) limits the sums to pairs of which the upper left corner lies in it.
    """
    height, width = tf.shape(images)[1] - 1, tf.shape(images)[2] - 1

    def part(top: int, left: int, rows: Any, columns: Any) -> Any:
        # the gradient of indexing takes ten times as long as that of a slice
        return tf.slice(images, [0, top, left, 0], [-1, rows, columns, -1])

    differences = [
        part(1, 0, height, -1) - part(0, 0, height, -1),
        part(0, 1, -1, width) - part(0, 0, -1, width),
    ]
    if stencil == "nine-point":
        differences += [
            part(1, 1, height, width) - part(0, 0, height, width),
            part(1, 0, height, width) - part(0, 1, height, width),
        ]
    if box is not None:
        differences = [pairs[:, box[0] : box[2], box[1] : box[3]] for pairs in differences]
    return tf.stack([tf.reduce_sum(tf.square(pairs), axis=[1, 2, 3]) for pairs in differences], axis=-1)


def variation_counts(size: tuple[int, int], *, stencil: str) -> list[int]:
    """Count the pairs of neighbours in an image of `size` (height, width), by direction; at least 1."""
    height, width = size
    straight = [(height - 1) * width, height * (width - 1)]
    return [max(1, count) for count in straight + [(height - 1) * (width - 1)] * (len(_STENCILS[stencil]) - 2)]


def variation(means: Any, *, stencil: str) -> Any:
    """Add up mean squared differences `[batch, directions]`: the two of neighbours, or with diagonals as below.

    The nine-point stencil weighs a diagonal pair a quarter as much as a straight one, so that all directions of an edge
    cost the same. Source: Patra and Karttunen 2006, Stencils with isotropic discretization error.
    """
    return tf.reduce_sum(means * tf.constant(_STENCILS[stencil]), axis=-1)
