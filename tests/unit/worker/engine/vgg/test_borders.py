"""The grid of shapes that the network sees: the maps, and the gradient, are those of the image alone."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from shared.painting.vgg19 import block, deepest, map_size, up_to
from tests.unit.worker.engine.synthetic import smooth_picture
from worker.engine.vgg.borders import GRID_PX, completed, mirrored, on_grid, with_zeros
from worker.engine.vgg.features import forward, preprocess
from worker.engine.vgg.network import Network

LAYERS = ["block1_conv1", "block2_conv2", "block3_conv1", "block4_conv2", "block5_conv1"]
SIZES = [(16, 16), (17, 31), (33, 47), (50, 39), (64, 96), (63, 65), (129, 20)]
POOLS = {"max": tf.nn.max_pool2d, "average": tf.nn.avg_pool2d}


def plain_forward(network: Network, images: Any, *, pooling: str, padding: str) -> dict[str, Any]:
    """Evaluate images of just this size, with TensorFlow's own borders."""
    x, depth, found = preprocess(images), 1, {}
    for layer in up_to(deepest(LAYERS)):
        if block(layer) > depth:
            x, depth = POOLS[pooling](x, 2, 2, "SAME" if padding == "mirror" else "VALID"), block(layer)
        if padding == "mirror":
            x = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], "SYMMETRIC")
        kernel = network.kernels[layer]
        x = tf.nn.conv2d(x, kernel.weights, 1, "VALID" if padding == "mirror" else "SAME")
        x = found[layer] = tf.nn.relu(x + kernel.bias)
    return {layer: found[layer] for layer in LAYERS}


@pytest.mark.parametrize("pooling", POOLS)
@pytest.mark.parametrize("padding", ["mirror", "zeros"])
@pytest.mark.parametrize("size", SIZES)
def test_maps_and_gradient_are_those_of_the_image_alone(
    network: Network, size: tuple[int, int], padding: str, pooling: str
) -> None:
    images = tf.constant(np.stack([smooth_picture(*size, seed=seed) for seed in (1, 2)]))
    gridded = forward(network, LAYERS, pooling=pooling, padding=padding)

    with tf.GradientTape(persistent=True) as tape:
        tape.watch(images)
        actual = gridded(images)
        expected = plain_forward(network, images, pooling=pooling, padding=padding)
        losses = [tf.add_n([tf.reduce_mean(maps**2) for maps in found.values()]) for found in (actual, expected)]
    gradient, expected_gradient = (tape.gradient(loss, images).numpy() for loss in losses)

    for layer in LAYERS:
        assert actual[layer].shape[1:3] == map_size(size, layer, mirrored=padding == "mirror")
        np.testing.assert_allclose(actual[layer], expected[layer], atol=1e-5 * np.abs(expected[layer]).max())
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-5 * np.abs(expected_gradient).max())


def test_images_of_many_sizes_have_few_shapes_on_the_grid() -> None:
    shapes = {tuple(on_grid(tf.zeros([1, height, width, 3])).shape) for height in range(65, 97) for width in (33, 64)}

    assert shapes == {(1, 96, 64, 3)}
    assert GRID_PX % 16 == 0


def test_what_lies_beyond_the_corner_is_never_seen() -> None:
    maps = np.zeros((1, 4, 4, 1), np.float32)
    maps[0, :2, :3, 0] = [[1, 2, 3], [4, 5, 6]]
    maps[0, 2:], maps[0, :, 3:] = 99, 99
    corner = tf.constant(2), tf.constant(3)

    assert mirrored(maps, corner)[0, :4, :5, 0].numpy().tolist() == [
        [1, 1, 2, 3, 3],
        [1, 1, 2, 3, 3],
        [4, 4, 5, 6, 6],
        [4, 4, 5, 6, 6],
    ]
    assert completed(maps, corner)[0, :, :, 0].numpy().tolist() == [
        [1, 2, 3, 3],
        [4, 5, 6, 6],
        [4, 5, 6, 6],
        [4, 5, 6, 6],
    ]
    assert with_zeros(maps, corner)[0, :, :, 0].numpy().tolist() == [[1, 2, 3, 0], [4, 5, 6, 0], [0] * 4, [0] * 4]
