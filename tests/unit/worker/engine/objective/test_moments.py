"""Styles as distributions: moments, and the distances between them."""

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from worker.engine.objective.losses import feature_sums, gram_matrix, position_count
from worker.engine.objective.moments import Moments, covariance_distance, covariance_root, wasserstein_distance


def features(height: int, width: int, channels: int, seed: int) -> np.ndarray:
    """Maps of correlated channels, whose covariance is far from singular."""
    rng = np.random.default_rng(seed)
    mix = 0.3 * rng.normal(size=(channels, channels)) / channels**0.5 + np.eye(channels)
    return (rng.normal(size=(1, height, width, channels)) @ mix + rng.uniform(0, 2, channels)).astype(np.float32)


def moments(maps: np.ndarray) -> Moments:
    return Moments(feature_sums(maps) / position_count(maps), gram_matrix(maps))


def normal(mean: list[float], variances: list[float]) -> Moments:
    """The moments of independent normal variables."""
    mu = np.float32(mean)
    return Moments(tf.constant(mu[np.newaxis]), tf.constant((np.diag(np.float32(variances)) + np.outer(mu, mu))[None]))


def wasserstein(actual: Moments, target: Moments, *, scaling: str = "none") -> tf.Tensor:
    return wasserstein_distance(actual, target, tf.constant(covariance_root(target)), scaling=scaling)


DISTANCES = [covariance_distance, wasserstein]


def test_moments_hold_the_mean_and_the_covariance() -> None:
    maps = features(9, 7, 5, seed=1)

    found = moments(maps)

    rows = maps.reshape(-1, 5).astype(np.float64)
    np.testing.assert_allclose(found.mean[0], rows.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(found.covariance[0], np.cov(rows.T, bias=True), atol=1e-5)


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("scaling", ["none", "target"])
def test_a_distribution_has_no_distance_from_itself(distance: Callable, scaling: str) -> None:
    own = moments(features(20, 20, 8, seed=2))

    assert float(distance(own, own, scaling=scaling)[0]) == pytest.approx(0, abs=1e-5)


def test_the_covariance_distance_of_a_shift_is_that_of_the_means_alone() -> None:
    maps = features(12, 12, 6, seed=3)

    found = covariance_distance(moments(maps + np.float32(0.25)), moments(maps), scaling="none")

    assert float(found[0]) == pytest.approx(0.25**2 / 2, rel=1e-3)


def test_the_wasserstein_distance_of_independent_variables_is_that_of_each() -> None:
    mean, other = [0.0, 1.0, 3.0], [2.0, 1.0, 0.0]
    variances, others = [1.0, 4.0, 0.25], [9.0, 1.0, 0.25]
    expected = sum((a - b) ** 2 for a, b in zip(mean, other, strict=True))
    expected += sum((a**0.5 - b**0.5) ** 2 for a, b in zip(variances, others, strict=True))

    found = wasserstein(normal(mean, variances), normal(other, others))

    assert float(found[0]) == pytest.approx(expected / 3, rel=1e-3)


def test_the_wasserstein_distance_of_correlated_variables_is_the_formula_s() -> None:
    actual, target = moments(features(30, 30, 16, seed=4)), moments(features(30, 30, 16, seed=5))
    covariance, other = (np.float64(each.covariance[0]) for each in (actual, target))
    values, vectors = np.linalg.eigh(other)
    root = vectors @ np.diag(np.sqrt(values)) @ vectors.T
    overlap = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ covariance @ root), 0)).sum()
    expected = np.square(actual.mean - target.mean).sum() + np.trace(covariance) + np.trace(other) - 2 * overlap

    assert float(wasserstein(actual, target)[0]) == pytest.approx(expected / 16, rel=1e-2)


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("scaling", ["none", "target"])
def test_the_gradient_equals_finite_differences(distance: Callable, scaling: str) -> None:
    at, target = tf.constant(features(8, 8, 6, seed=6)), moments(features(8, 8, 6, seed=7))
    with tf.GradientTape() as tape:
        tape.watch(at)
        value = distance(moments(at), target, scaling=scaling)[0]
    gradient = tape.gradient(value, at)
    direction = gradient / tf.norm(gradient)

    ahead, behind = (distance(moments(at + sign * 0.05 * direction), target, scaling=scaling)[0] for sign in (1, -1))

    assert float((ahead - behind) / 0.1) == pytest.approx(float(tf.norm(gradient)), rel=2e-2)


@pytest.mark.parametrize("distance", DISTANCES)
def test_scaled_by_the_target_the_unit_of_features_does_not_matter(distance: Callable) -> None:
    maps, others = features(15, 15, 6, seed=8), features(15, 15, 6, seed=9)

    found = [distance(moments(unit * maps), moments(unit * others), scaling="target") for unit in (1, 200)]

    np.testing.assert_allclose(found[0], found[1], rtol=1e-3)


@pytest.mark.parametrize("distance", DISTANCES)
def test_a_target_without_variance_gives_a_finite_distance_and_gradient(distance: Callable) -> None:
    flat, at = moments(np.zeros((1, 6, 6, 4), np.float32)), tf.constant(features(6, 6, 4, seed=10))
    with tf.GradientTape() as tape:
        tape.watch(at)
        value = distance(moments(at), flat, scaling="none")[0]

    assert np.isfinite(value)
    assert np.isfinite(tape.gradient(value, at)).all()


def test_black_counts_for_no_more_than_the_darkest_style_that_is_told_apart() -> None:
    black = moments(np.zeros((1, 6, 6, 3), np.float32))
    white = moments(np.ones((1, 6, 6, 3), np.float32))

    assert float(covariance_distance(white, black, scaling="target", least=1 / 8)[0]) == pytest.approx(64 / 2)


@pytest.mark.parametrize("channels", [3, 64, 256])
@pytest.mark.parametrize("contrast", [0, 1e-4, 1e-3, 1e-2])
@pytest.mark.parametrize("level", [0.3, 40])
def test_the_wasserstein_distance_of_flat_images_is_finite_though_rounding_is_all_that_they_vary_by(
    channels: int, contrast: float, level: float
) -> None:
    rng = np.random.default_rng(channels)
    flat, noisy = np.zeros((1, 40, 40, channels)), rng.normal(size=(1, 40, 40, channels))
    of_each = level * rng.uniform(0.5, 1.5, channels)
    target = moments(np.float32(of_each * (1 + contrast * noisy)))
    for picture in (flat, noisy, contrast * noisy, contrast * rng.normal(size=noisy.shape)):
        at = tf.constant(np.float32(of_each * (1 + picture)))
        with tf.GradientTape() as tape:
            tape.watch(at)
            value = wasserstein(moments(at), target, scaling="target")[0]

        assert np.isfinite(value)
        assert np.isfinite(tape.gradient(value, at)).all()
