import numpy as np
import pytest
import tensorflow as tf

from shared.painting.vgg19 import LAYERS, block
from tests.unit.worker.engine.synthetic import smooth_picture
from worker.engine.pictures.masks import erosion_radius, layer_masks, resize_mask
from worker.engine.vgg.features import forward
from worker.engine.vgg.network import Network

SHALLOW = [layer for layer in LAYERS if block(layer) <= 3]


def test_a_resized_mask_averages_areas() -> None:
    mask = np.float32([[1, 0, 0, 1, 1, 0], [0, 0, 0, 1, 1, 0]])

    np.testing.assert_allclose(resize_mask(mask, (1, 3)), [[0.25, 0.5, 0.5]])
    # a place of 1.5 by 2 shares a column with its neighbour
    np.testing.assert_allclose(resize_mask(mask, (1, 4)), [[1 / 3, 0, 1, 1 / 3]], atol=1e-6)


@pytest.mark.parametrize("size", [(7, 5), (20, 30), (41, 97), (20, 60)])
def test_a_resized_mask_keeps_its_mean_and_its_range(size: tuple[int, int]) -> None:
    mask = np.random.default_rng(0).uniform(size=(20, 30)).astype(np.float32)

    resized = resize_mask(mask, size)

    assert resized.shape == size
    assert resized.dtype == np.float32
    assert resized.mean() == pytest.approx(mask.mean(), abs=1e-5)
    assert resized.min() >= mask.min() - 1e-6
    assert resized.max() <= mask.max() + 1e-6
    np.testing.assert_array_equal(resize_mask(np.ones_like(mask), size), np.ones(size))


def test_a_mask_of_the_right_size_is_unchanged() -> None:
    mask = np.random.default_rng(1).uniform(size=(9, 8)).astype(np.float32)

    np.testing.assert_array_equal(resize_mask(mask, (9, 8)), mask)


@pytest.mark.parametrize("padding", ["zeros", "mirror"])
def test_a_mask_of_ones_is_ones_in_the_shape_of_every_feature_map(network: Network, padding: str) -> None:
    picture = smooth_picture(45, 51, seed=3)
    maps = forward(network, LAYERS, pooling="max", padding=padding)(tf.constant(picture[np.newaxis]))

    masks = layer_masks(np.ones((45, 51), np.float32), LAYERS, padding)

    assert set(masks) == set(LAYERS)
    for layer, mask in masks.items():
        np.testing.assert_array_equal(mask, np.ones(maps[layer].shape[1:3]))


@pytest.mark.parametrize("padding", ["zeros", "mirror"])
@pytest.mark.parametrize("border", [60, 61, 63])
def test_the_eroded_mask_of_one_half_sees_nothing_of_the_other(network: Network, padding: str, border: int) -> None:
    mask = np.zeros((32, 112), np.float32)
    mask[:, :border] = 1
    one, other = smooth_picture(32, 112, seed=4), smooth_picture(32, 112, seed=5)
    other[:, :border] = one[:, :border]
    maps = forward(network, SHALLOW, pooling="max", padding=padding)(tf.constant(np.stack([one, other])))

    for layer, left in layer_masks(mask, SHALLOW, padding).items():
        change = np.abs(maps[layer][0] - maps[layer][1]).max(axis=-1)
        assert left[change > 1e-4].max() == 0, layer
        # and hardly more was taken away than sees across
        assert left.sum() >= (change <= 1e-4).sum() - 2 * len(left), layer


def test_a_region_is_eroded_at_its_border_but_not_at_the_edge_of_the_image() -> None:
    mask = np.zeros((20, 20), np.float32)
    mask[:12, 4:] = 1

    left = layer_masks(mask, ["block1_conv2"], "zeros")["block1_conv2"]

    expected = np.zeros((20, 20))
    expected[:10, 6:] = 1
    np.testing.assert_array_equal(left, expected)


@pytest.mark.parametrize("padding", ["zeros", "mirror"])
@pytest.mark.parametrize("side", [1, 3, 10, 40])
def test_a_small_region_is_seen_by_every_layer(padding: str, side: int) -> None:
    mask = np.zeros((97, 130), np.float32)
    mask[30 : 30 + side, 50 : 50 + side] = 1

    masks = layer_masks(mask, LAYERS, padding)

    for layer, left in masks.items():
        assert left.sum() * 4 ** (block(layer) - 1) >= 0.2 * mask.sum()


def test_erosion_never_makes_a_mask_brighter() -> None:
    mask = np.random.default_rng(6).uniform(size=(64, 64)).astype(np.float32)

    masks = layer_masks(mask, ["block1_conv1", "block1_conv2"], "zeros")

    assert (masks["block1_conv1"] <= mask).all()
    assert (masks["block1_conv2"] <= masks["block1_conv1"]).all()


@pytest.mark.parametrize(
    ("layer", "positions"), [("block1_conv1", 1), ("block1_conv2", 2), ("block2_conv1", 3), ("block3_conv1", 4)]
)
def test_the_erosion_radius_is_in_positions_of_the_layer_rounded_up(layer: str, positions: int) -> None:
    assert erosion_radius(layer) == positions
