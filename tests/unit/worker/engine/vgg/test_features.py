import keras
import numpy as np
import pytest
import tensorflow as tf

from shared.painting.vgg19 import LAYERS
from tests.unit.worker.engine.keras_reference import keras_vgg19
from tests.unit.worker.engine.synthetic import smooth_picture
from worker.engine.vgg.features import forward, preprocess
from worker.engine.vgg.network import Network

PICTURES = smooth_picture(50, 39, seed=3)[np.newaxis]


def test_every_layer_equals_keras(network: Network) -> None:
    model = keras_vgg19(network)
    outputs = keras.Model(model.inputs, [model.get_layer(name).output for name in LAYERS])
    expected = outputs(keras.applications.vgg19.preprocess_input(tf.constant(PICTURES) * 255.0))

    actual = forward(network, LAYERS, pooling="max", padding="zeros")(PICTURES)

    for layer, activations in zip(LAYERS, expected, strict=True):
        scale = np.abs(activations).max()
        np.testing.assert_allclose(actual[layer] / scale, activations / scale, atol=1e-5, err_msg=layer)


def test_preprocessing_equals_keras() -> None:
    expected = keras.applications.vgg19.preprocess_input(tf.constant(PICTURES) * 255.0)

    np.testing.assert_array_equal(preprocess(PICTURES), expected)


def test_nothing_is_computed_beyond_the_last_layer_used(network: Network) -> None:
    run = tf.function(forward(network, ["block2_conv1", "block1_conv1"], pooling="max", padding="zeros"))

    graph = run.get_concrete_function(tf.TensorSpec([1, None, None, 3])).graph

    assert sum(operation.type == "Conv2D" for operation in graph.get_operations()) == 3


def test_average_pooling_averages(network: Network) -> None:
    layers = ["block1_conv2", "block2_conv1"]
    features = forward(network, layers, pooling="average", padding="zeros")(PICTURES)

    pooled = tf.nn.avg_pool2d(features["block1_conv2"], 2, 2, "VALID")
    weights, bias = network.kernels["block2_conv1"]
    expected = tf.nn.relu(tf.nn.conv2d(pooled, weights, 1, "SAME") + bias)

    np.testing.assert_allclose(features["block2_conv1"], expected, rtol=1e-5, atol=1e-4)


def test_l2_pooling_takes_the_root_of_the_mean_square_and_a_scale_multiplies_it(network: Network) -> None:
    layers = ["block1_conv2", "block2_conv1"]
    features = forward(network, layers, pooling="l2", pooling_scale=0.78, padding="zeros")(PICTURES)

    pooled = 0.78 * np.sqrt(tf.nn.avg_pool2d(np.square(features["block1_conv2"]), 2, 2, "VALID"))
    weights, bias = network.kernels["block2_conv1"]
    expected = tf.nn.relu(tf.nn.conv2d(pooled, weights, 1, "SAME") + bias)

    np.testing.assert_allclose(features["block2_conv1"], expected, rtol=1e-3, atol=1e-2)


def test_l2_pooling_of_features_that_are_zero_has_a_finite_gradient(network: Network) -> None:
    black = tf.zeros([1, 32, 32, 3])
    with tf.GradientTape() as tape:
        tape.watch(black)
        found = forward(network, ["block3_conv1"], pooling="l2", padding="mirror")(black)["block3_conv1"]

    assert np.isfinite(tape.gradient(found, black)).all()


@pytest.mark.parametrize("pooling", ["max", "average", "l2"])
def test_mirrored_borders_keep_a_flat_image_flat(network: Network, pooling: str) -> None:
    flat = np.full((1, 33, 47, 3), 0.3, np.float32)

    features = forward(network, LAYERS, pooling=pooling, padding="mirror")(flat)

    for layer, activations in features.items():
        assert np.ptp(activations, axis=(1, 2)).max() <= 1e-4 * np.abs(activations).max(), layer
