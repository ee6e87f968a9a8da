"""Weights for VGG19 learned from synthetic images, for a machine that cannot download trained ones.

Layer by layer and without labels: whiten patches of the layer's input, cluster them by spherical k-means, and give
each direction a random sign. Each channel is then shifted and scaled so that half of its positions are active and
their mean is 1, which keeps the signal alive through 16 layers.
Source: Coates and Ng 2012, Learning Feature Representations with K-means.

Invariant: the same weights, bit for bit, every time on one machine; any change to them raises `VERSION`.
"""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from numpy.random import Generator
from numpy.typing import NDArray

from shared.painting.params import LAST_RESORT_WEIGHTS
from shared.painting.vgg19 import LAYERS, block, kernel_shapes
from worker.engine.vgg import training_images
from worker.engine.vgg.features import preprocess
from worker.engine.vgg.network import Kernel, Network

Array = NDArray[np.float32]

#: Part of the cached file's name, so that weights of an earlier version are never loaded.
VERSION = 1
_SEED = 20160627
#: More strokes than leaves: with leaves alone, painted strokes come out short and harsh.
_IMAGES = (("dead_leaves", 5), ("strokes", 7))
_IMAGE_PX = 160
#: Patches drawn per layer.
_PATCHES = 30_000
#: Principal components kept of a layer's channels, and of its patches.
_CHANNELS = 64
_COMPONENTS = 256
#: Added to every eigenvalue, relative to the largest. At 0.001 the kernels respond to the finest detail and images
#: turn into noise with harsh halos; at 0.4 only smooth relief is left; at 0.2 they turn into strokes.
_REGULARISATION = 0.2
#: Iterations of k-means.
_ITERATIONS = 8


def build() -> Network:
    """Learn all layers; takes about half a minute on two cores."""
    rng = np.random.default_rng(_SEED)
    images = [getattr(training_images, kind)(rng, _IMAGE_PX) for kind, count in _IMAGES for _ in range(count)]
    features = preprocess(tf.constant(np.stack(images))).numpy()
    return Network.of(LAST_RESORT_WEIGHTS, dict(_learn_layers(features, rng)))


def _learn_layers(features: Array, rng: Generator) -> Iterator[tuple[str, Kernel]]:
    depth = 1
    for layer in LAYERS:
        if block(layer) > depth:
            depth = block(layer)
            features = tf.nn.avg_pool2d(features, 2, 2, "SAME").numpy()
        weights = _directions(features, kernel_shapes()[layer][-1], rng)
        kernel, features = _normalized(features, weights)
        yield layer, kernel


def _directions(features: Array, count: int, rng: Generator) -> Array:
    """Cluster whitened 3×3 patches into `count` directions: kernels `[3, 3, channels, count]`."""
    channels = features.shape[-1]
    # reduce the channels first: 9 · 512 dimensions at once would take minutes
    reduce = _principal(features.reshape(-1, channels), _CHANNELS, 0.0)[0]
    patches = _patches(features @ reduce, rng)
    basis, scales = _principal(patches, _COMPONENTS, _REGULARISATION)
    whiten = basis * scales
    white = (patches - patches.mean(axis=0)) @ whiten
    centres = _spherical_means(white, count, rng)
    kernels = (whiten @ centres.T).reshape(3, 3, reduce.shape[1], count) * rng.choice([-1, 1], count).astype(np.float32)
    weights: Array = np.einsum("yxrk,cr->yxck", kernels, reduce).astype(np.float32)
    return weights


def _principal(rows: Array, count: int, regularization: float) -> tuple[Array, Array]:
    """Return the `count` leading principal axes of `rows` as columns, and the factor that gives each unit variance."""
    centred = rows - rows.mean(axis=0)
    # by TensorFlow: the threads of NumPy's matmul spin, and starve on a busy machine
    covariance = tf.matmul(centred, centred, transpose_a=True) / len(rows)
    values, vectors = (part.numpy() for part in tf.linalg.eigh(covariance))
    values, vectors = values[::-1][:count], vectors[:, ::-1][:, :count]
    # the sign of an eigenvector is arbitrary: make its largest entry positive
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])])
    return vectors, 1 / np.sqrt(np.maximum(values, 0) + regularization * values[0] + 1e-12)


def _patches(features: Array, rng: Generator) -> Array:
    """Cut 3×3 patches at random positions, each flattened to `[9 · channels]`."""
    count, height, width, channels = features.shape
    positions = rng.integers([count, height - 2, width - 2], size=(_PATCHES, 3))
    rows = np.arange(3)[:, np.newaxis]
    image, y, x = (positions[:, i, np.newaxis, np.newaxis] for i in range(3))
    patches: Array = features[image, y + rows, x + rows.T].reshape(_PATCHES, 9 * channels)
    return patches


def _spherical_means(rows: Array, count: int, rng: Generator) -> Array:
    """Cluster the directions of `rows`, opposite ones together, into `count` unit vectors."""
    rows = rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-8)
    centres = tf.constant(rows[rng.choice(len(rows), count, replace=False)])
    points = tf.constant(rows)
    for _ in range(_ITERATIONS):
        similarity = tf.matmul(points, centres, transpose_b=True)
        nearest = tf.argmax(tf.abs(similarity), axis=1)
        signs = tf.sign(tf.gather(similarity, nearest, axis=1, batch_dims=1))
        # a matrix product, because a scatter would add in the order in which threads arrive
        members = tf.one_hot(nearest, count) * signs[:, tf.newaxis]
        sums = tf.matmul(members, points, transpose_a=True)
        lengths = tf.norm(sums, axis=1, keepdims=True)
        # an empty cluster keeps its centre
        centres = tf.where(lengths > 1e-6, sums / (lengths + 1e-8), centres)
    means: Array = centres.numpy()
    return means


def _normalized(features: Array, weights: Array) -> tuple[Kernel, Array]:
    """Give each channel a median of 0 and a mean activation of 1; return the kernel and its activations."""
    padded = tf.pad(features, [[0, 0], [1, 1], [1, 1], [0, 0]], "SYMMETRIC")
    responses = tf.nn.conv2d(padded, weights, 1, "VALID").numpy()
    rows = responses.reshape(-1, responses.shape[-1])
    median = np.median(rows[:: max(1, len(rows) // 20_000)], axis=0)
    active = np.maximum(responses - median, 0)
    scale = 1 / (active.mean(axis=(0, 1, 2)) + 1e-8)
    return Kernel(weights * scale, (-median * scale).astype(np.float32)), active * scale
