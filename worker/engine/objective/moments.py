"""Style as the distribution of feature vectors: their mean and covariance, and two distances between distributions.

A Gram matrix mixes both: G = C + μμᵀ, and in trained networks μμᵀ is most of it, so that an error of brightness hides
one of texture. Shapes: a mean μ is `[…, channels]`, a second moment G = E[f fᵀ] or covariance C = G - μμᵀ
`[…, channels, channels]`, a distance `[…]`.

Source: Li, Wang, Liu and Hou 2017, Demystifying Neural Style Transfer (styles as distributions); Olkin and Pukelsheim
1982, the Wasserstein-2 distance between normal distributions; Higham 2008, Functions of Matrices, chapter 6 (the
coupled Newton-Schulz iteration).

Invariant: moments may be added up over tiles and blended over styles, covariances may not; so moments are stored.
"""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

#: A style that is darker than this, of 1, counts as this bright when its colours are scaled, or black would count for
#: infinitely much.
LEAST_BRIGHTNESS = 1 / 8
#: Guards against division by zero for a target that is zero everywhere.
_EPSILON = 1e-12
#: The share of the second moment below which a covariance counts as that of a flat image.
_FLAT_SHARE = 1e-3
#: Iterations of Newton and Schulz. A root's eigenvalue grows by up to 1.5 in each: directions with less than a
#: hundredth of the largest deviation are not quite reached, and the distance comes out too large by as little.
_ITERATIONS = 12
#: What is added to the diagonal of covariances, in units of the target's E[‖f‖²]. It bounds their condition, and is ten
#: times what float32 rounds off, which is all that the covariance of a flat image holds.
_RIDGE = 1e-5


class Moments(NamedTuple):
    """The mean and the second moment E[f fᵀ] of feature vectors."""

    mean: Any
    second: Any

    @property
    def covariance(self) -> Any:
        """C = E[f fᵀ] - μμᵀ."""
        return self.second - self.mean[..., :, tf.newaxis] * self.mean[..., tf.newaxis, :]


def covariance_distance(actual: Moments, target: Moments, *, scaling: str, least: float = 0.0) -> Any:
    """Average the mean squared errors of μ and of C; `scaling` "target" divides each by its target's mean square.

    The covariance of a flat target is zero, so a small share of its second moment is added to what it is divided by.
    A target of less than `least`, as the root of its mean square, counts as one of that size.
    """
    mean = tf.reduce_mean(tf.square(actual.mean - target.mean), axis=-1)
    covariance = tf.reduce_mean(tf.square(actual.covariance - target.covariance), axis=[-2, -1])
    if scaling == "target":
        mean /= tf.maximum(tf.reduce_mean(tf.square(target.mean), axis=-1), least**2) + _EPSILON
        size = tf.reduce_mean(tf.square(target.covariance) + _FLAT_SHARE * tf.square(target.second), axis=[-2, -1])
        covariance /= tf.maximum(size, least**4) + _EPSILON
    return (mean + covariance) / 2


def wasserstein_distance(actual: Moments, target: Moments, root: Any, *, scaling: str) -> Any:
    """Return the squared Wasserstein-2 distance of the normal distributions with these moments, a channel's share.

    ‖μ - μ'‖² + tr(C + C' - 2(√C' C √C')^½), divided by the number of channels or, with `scaling` "target", by the
    target's E[‖f‖²]. `root` is √C' as `covariance_root` returns it.
    """
    count = actual.mean.shape[-1]
    whole = tf.linalg.trace(target.second)
    ridge = _RIDGE * whole[..., tf.newaxis, tf.newaxis] * tf.eye(count)
    covariance = actual.covariance + ridge
    overlap = tf.linalg.trace(_square_root(root @ covariance @ root))
    distance = tf.reduce_sum(tf.square(actual.mean - target.mean), axis=-1)
    distance += (
        tf.linalg.trace(covariance) + tf.linalg.trace(target.covariance) + count * _RIDGE * whole - 2.0 * overlap
    )
    # rounding may leave a distance of 0 below it; its gradient is right all the same
    distance += tf.stop_gradient(tf.nn.relu(-distance))
    return distance / (whole + _EPSILON if scaling == "target" else float(count))


def covariance_root(moments: Moments) -> NDArray[np.float32]:
    """Return the symmetric root of a target's covariance, with `_RIDGE` on its diagonal, of numpy moments."""
    mean, second = (np.asarray(part, np.float64) for part in moments)
    covariance = second - mean[..., :, np.newaxis] * mean[..., np.newaxis, :]
    values, vectors = np.linalg.eigh(covariance)
    ridge = _RIDGE * np.trace(second, axis1=-2, axis2=-1)[..., np.newaxis]
    roots = np.sqrt(np.maximum(values, 0.0) + ridge)
    return np.asarray((vectors * roots[..., np.newaxis, :]) @ np.swapaxes(vectors, -1, -2), np.float32)


def _square_root(matrices: Any) -> Any:
    """Approximate the roots of symmetric positive definite matrices `[…, c, c]` by Newton and Schulz."""
    norm = tf.norm(matrices, axis=[-2, -1], keepdims=True) + _EPSILON
    identity = tf.eye(matrices.shape[-1])
    root, inverse = matrices / norm, identity
    for _ in range(_ITERATIONS):
        step = 1.5 * identity - 0.5 * inverse @ root
        root, inverse = root @ step, step @ inverse
    return root * tf.sqrt(norm)
