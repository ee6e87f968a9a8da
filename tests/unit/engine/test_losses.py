import numpy as np
import pytest
import tensorflow as tf

from worker.engine import losses


def random_features(height: int, width: int, channels: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(1, height, width, channels)).astype(np.float32)


def test_the_gram_of_ones_is_ones_whatever_the_size() -> None:
    np.testing.assert_allclose(losses.gram(tf.ones([1, 3, 5, 4])), np.ones((1, 4, 4)), rtol=1e-6)


def test_the_gram_averages_products_of_channels_over_positions() -> None:
    features = random_features(4, 6, 3, seed=0)

    expected = sum(np.outer(f, f) for f in features[0].reshape(-1, 3)) / 24

    np.testing.assert_allclose(losses.gram(features)[0], expected, rtol=1e-5)


def test_a_flat_picture_has_no_variation() -> None:
    assert losses.total_variation(tf.fill([1, 5, 7, 3], 0.4)).numpy() == 0


def test_variation_is_the_mean_squared_step_between_neighbours() -> None:
    ramp = np.tile(np.arange(6, dtype=np.float32)[:, np.newaxis, np.newaxis] * 0.5, (1, 1, 4, 3))

    assert losses.total_variation(ramp).numpy() == pytest.approx(0.25)


def test_paper_normalisation_is_the_papers_formula() -> None:
    painted, style = random_features(4, 6, 3, seed=1), random_features(4, 6, 3, seed=2)
    n, m = 3, 24
    g, a = (f[0].reshape(m, n).T @ f[0].reshape(m, n) for f in (painted, style))
    expected = ((g - a) ** 2).sum() / (4 * n**2 * m**2)

    actual = losses.style_loss(
        {"x": painted}, {"x": losses.gram(style)}, {"x": 1.0}, scaling="none", normalization="paper"
    )

    assert float(actual) == pytest.approx(expected, rel=1e-5)


def test_target_scaling_makes_a_loss_independent_of_the_units_of_the_features() -> None:
    painted, content = random_features(4, 6, 3, seed=3), random_features(4, 6, 3, seed=4)

    def loss(unit: float) -> float:
        return float(losses.content_loss({"x": painted * unit}, {"x": content * unit}, {"x": 2.0}, scaling="target"))

    assert loss(1000.0) == pytest.approx(loss(1.0), rel=1e-5)
    assert loss(1.0) == pytest.approx(2 * np.mean((painted - content) ** 2) / np.mean(content**2), rel=1e-5)
