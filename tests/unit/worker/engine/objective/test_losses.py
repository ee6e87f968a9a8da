import numpy as np
import pytest
import tensorflow as tf

from worker.engine.objective import losses


def random_features(height: int, width: int, channels: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(1, height, width, channels)).astype(np.float32)


def test_the_gram_matrix_of_ones_is_ones_whatever_the_size() -> None:
    np.testing.assert_allclose(losses.gram_matrix(tf.ones([1, 3, 5, 4])), np.ones((1, 4, 4)), rtol=1e-6)


def test_the_gram_matrix_averages_products_of_channels_over_positions() -> None:
    features = random_features(4, 6, 3, seed=0)

    expected = sum(np.outer(f, f) for f in features[0].reshape(-1, 3)) / 24

    np.testing.assert_allclose(losses.gram_matrix(features)[0], expected, rtol=1e-5)


def test_the_gram_matrix_of_bfloat16_features_is_summed_in_float32() -> None:
    features = tf.cast(tf.fill([1, 64, 64, 2], 300.0), tf.bfloat16)

    found = losses.gram_sums(features)

    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, np.full((1, 2, 2), 300.0**2 * 64 * 64), rtol=1e-2)


def test_positions_outside_a_mask_do_not_count() -> None:
    features = random_features(4, 6, 3, seed=5)
    mask = np.zeros((4, 6), np.float32)
    mask[:, :2] = 1

    np.testing.assert_allclose(losses.gram_sums(features, mask), losses.gram_sums(features[:, :, :2]), rtol=1e-5)


def test_a_flat_image_has_no_variation() -> None:
    assert losses.variation_sums(tf.fill([2, 5, 7, 3], 0.4)).numpy().tolist() == [[0, 0], [0, 0]]


def test_variation_sums_the_squared_differences_of_neighbours() -> None:
    ramp = np.tile(np.arange(6, dtype=np.float32)[:, np.newaxis, np.newaxis] * 0.5, (1, 1, 4, 3))

    assert losses.variation_sums(ramp).numpy().tolist() == [[5 * 4 * 3 * 0.25, 0]]


def test_the_variations_of_two_boxes_add_up_to_that_of_the_image() -> None:
    picture = random_features(8, 6, 3, seed=6)

    boxes = [losses.variation_sums(picture, box) for box in ((0, 0, 5, 99), (5, 0, 99, 99))]

    np.testing.assert_allclose(tf.add_n(boxes), losses.variation_sums(picture), rtol=1e-5)


def test_paper_normalization_is_the_formula_of_the_paper() -> None:
    painted, style = random_features(4, 6, 3, seed=1), random_features(4, 6, 3, seed=2)
    n, m = 3, 24
    g, a = (f[0].reshape(m, n).T @ f[0].reshape(m, n) for f in (painted, style))
    expected = ((g - a) ** 2).sum() / (4 * n**2 * m**2)

    actual = losses.gram_distance(
        losses.gram_matrix(painted), losses.gram_matrix(style), scaling="none", normalization="paper"
    )

    assert float(actual[0]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("unit", [1.0, 1000.0])
def test_target_scaling_makes_the_content_loss_independent_of_the_features_units(unit: float) -> None:
    painted, content = random_features(4, 6, 3, seed=3), random_features(4, 6, 3, seed=4)

    sums = losses.square_sums(painted * unit, content * unit)
    loss = losses.content_distance(sums, painted.size, np.mean((content * unit) ** 2), scaling="target")

    assert float(loss[0]) == pytest.approx(np.mean((painted - content) ** 2) / np.mean(content**2), rel=1e-5)


@pytest.mark.parametrize("unit", [1.0, 1000.0])
def test_target_scaling_makes_the_style_loss_independent_of_the_features_units(unit: float) -> None:
    actual, target = (losses.gram_matrix(random_features(4, 6, 3, seed)) for seed in (7, 8))

    distance = losses.gram_distance(actual * unit, target * unit, scaling="target", normalization="positions")

    expected = np.mean(np.square(actual - target)) / np.mean(np.square(target))
    assert float(distance[0]) == pytest.approx(expected, rel=1e-5)


def test_diagonal_neighbours_count_a_quarter_as_much() -> None:
    rng = np.random.default_rng(9)
    picture = rng.random((1, 6, 8, 3)).astype(np.float32)
    sums = losses.variation_sums(picture, stencil="nine-point")

    found = losses.variation(sums / losses.variation_counts((6, 8), stencil="nine-point"), stencil="nine-point")

    vertical, horizontal = (np.square(np.diff(picture, axis=axis)).sum() for axis in (1, 2))
    falling = np.square(picture[:, 1:, 1:] - picture[:, :-1, :-1]).sum()
    rising = np.square(picture[:, 1:, :-1] - picture[:, :-1, 1:]).sum()
    expected = 2 / 3 * (vertical / 40 + horizontal / 42) + (falling + rising) / 35 / 6
    assert float(found[0]) == pytest.approx(expected, rel=1e-5)


def test_an_image_of_one_row_has_no_vertical_neighbours_to_divide_by() -> None:
    assert losses.variation_counts((1, 5), stencil="nine-point") == [1, 4, 1, 1]


def test_sums_of_features_weigh_positions_as_gram_matrices_do() -> None:
    features = random_features(4, 6, 3, 11)
    mask = np.linspace(0, 1, 24, dtype=np.float32).reshape(4, 6)

    found = losses.feature_sums(features, mask)

    np.testing.assert_allclose(found[0], (np.asarray(features)[0] * mask[..., None] ** 2).sum(axis=(0, 1)), rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("size", [(1, 1), (3, 7), (31, 33)])
def test_the_gradient_of_gram_sums_is_that_of_a_plain_product(size: tuple[int, int], dtype: str) -> None:
    features = tf.cast(random_features(*size, 5, 9), dtype)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(features)
        exact = tf.cast(features, tf.float32)
        sums = losses.gram_sums(features), tf.einsum("bijc,bijd->bcd", exact, exact)
        totals = [tf.reduce_sum(tf.square(found)) for found in sums]
    gradients = [tf.cast(tape.gradient(total, features), tf.float32) for total in totals]

    np.testing.assert_allclose(sums[0], sums[1], rtol=1e-5, atol=1e-4)
    largest = float(tf.reduce_max(tf.abs(gradients[1])))
    np.testing.assert_allclose(gradients[0], gradients[1], atol={"float32": 1e-5, "bfloat16": 2e-2}[dtype] * largest)


def test_maps_of_many_sizes_take_few_shapes_of_products() -> None:
    lengths = {int(losses._rounded_up(tf.constant(count))) for count in range(4096, 8192)}

    assert lengths == {4096, 5120, 6144, 7168, 8192}
    assert [int(losses._rounded_up(tf.constant(count))) for count in (1, 2, 3, 5, 9)] == [1, 2, 3, 5, 10]
