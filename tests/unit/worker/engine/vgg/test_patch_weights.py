"""The patch weights carry an image's signal through all layers. Their benchmark builds them twice."""

import numpy as np
import pytest
import tensorflow as tf

from shared.painting.params import LAST_RESORT_WEIGHTS
from shared.painting.vgg19 import LAYERS
from tests.unit.worker.engine.synthetic import smooth_picture
from worker.engine.vgg import patch_weights, training_images
from worker.engine.vgg.features import forward
from worker.engine.vgg.network import Network


@pytest.fixture(scope="module")
def learned() -> Network:
    return patch_weights.build()


@pytest.mark.slow
def test_activations_stay_in_range_in_every_layer_for_unseen_images(learned: Network) -> None:
    assert learned.name == LAST_RESORT_WEIGHTS
    unseen = np.stack([training_images.dead_leaves(np.random.default_rng(5), 96), smooth_picture(96, 96, seed=9)])

    features = forward(learned, LAYERS, pooling="average", padding="mirror")(tf.constant(unseen))

    for layer in LAYERS:
        assert 0.2 < np.mean(features[layer]) < 5, layer
        assert 0.1 < np.mean(features[layer] > 0) < 0.9, layer


@pytest.mark.slow
def test_the_kernels_of_the_first_layer_differ(learned: Network) -> None:
    kernels = learned.kernels["block1_conv1"].weights.reshape(27, 64)
    kernels = kernels / np.linalg.norm(kernels, axis=0)

    likeness = np.abs(kernels.T @ kernels) - np.eye(64)

    assert likeness.max() < 0.999
