"""The preset `classic` against the published recipe, written down again here with Keras' own parts."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from shared.params import resolve
from worker.engine.network import Network
from worker.engine.steps import Picture, Style
from worker.engine.stylize import stylize

CONTENT_LAYERS = ["block5_conv2"]
STYLE_LAYERS = ["block1_conv1", "block2_conv1", "block3_conv1", "block4_conv1", "block5_conv1"]
STEPS = 15


def keras_vgg19(network: Network) -> keras.Model:
    model = keras.applications.VGG19(include_top=False, weights=None)
    for layer, kernel in network.kernels.items():
        model.get_layer(layer).set_weights(list(kernel))
    model.trainable = False
    return model


def gram_matrix(features):
    sums = tf.linalg.einsum("bijc,bijd->bcd", features, features)
    return sums / tf.cast(tf.shape(features)[1] * tf.shape(features)[2], tf.float32)


def load(picture: Picture, long_side: int):
    height, width = (int(side * long_side / max(picture.shape)) for side in picture.shape[:2])
    return tf.image.resize(picture[np.newaxis], (height, width))


def plain_loop(content: Picture, style: Picture, network: Network, long_side: int):
    """The recipe as engine.md gives it: the losses of every step, before its update, and the last picture."""
    vgg = keras_vgg19(network)
    model = keras.Model(vgg.inputs, [vgg.get_layer(name).output for name in STYLE_LAYERS + CONTENT_LAYERS])

    def features(picture):
        outputs = model(keras.applications.vgg19.preprocess_input(picture * 255.0))
        return outputs[: len(STYLE_LAYERS)], outputs[len(STYLE_LAYERS) :]

    targets = [gram_matrix(layer) for layer in features(load(style, long_side))[0]]
    contents = features(load(content, long_side))[1]
    image = tf.Variable(load(content, long_side))
    adam = keras.optimizers.Adam(learning_rate=0.02, beta_1=0.99, beta_2=0.999, epsilon=1e-1)
    history = []
    for _ in range(STEPS):
        with tf.GradientTape() as tape:
            layers, deep = features(image)
            style_loss = tf.add_n(
                [tf.reduce_mean((gram_matrix(f) - a) ** 2) for f, a in zip(layers, targets, strict=True)]
            )
            style_loss *= 1e-2 / len(STYLE_LAYERS)
            content_loss = tf.add_n([tf.reduce_mean((f - p) ** 2) for f, p in zip(deep, contents, strict=True)])
            content_loss *= 1e4 / len(CONTENT_LAYERS)
            total = style_loss + content_loss
        adam.apply_gradients([(tape.gradient(total, image), image)])
        image.assign(tf.clip_by_value(image, 0.0, 1.0))
        history.append((float(total), float(content_loss), float(style_loss)))
    return np.array(history), image[0].numpy()


def test_classic_is_the_published_recipe_number_for_number(network: Network, content: Picture, style: Picture) -> None:
    expected_losses, expected_picture = plain_loop(content, style, network, long_side=96)

    chunks = list(stylize(content, [Style(style)], resolve("classic", {"size": 96}), network))
    losses = np.array([step[:3] for chunk in chunks for step in chunk.losses])
    picture = chunks[-1].image()

    assert losses.shape == (STEPS, 3)
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-4, atol=1e-6)
    assert picture.shape == (72, 96, 3)
    assert np.abs(picture - expected_picture).max() < 1 / 255
    assert np.abs(picture - load(content, 96)[0]).mean() > 0.01, "nothing was painted"


@pytest.mark.parametrize(("shape", "long_side"), [((400, 760, 3), 512), ((1023, 517, 3), 300), ((333, 333, 3), 512)])
def test_the_size_painted_is_the_one_published(shape: tuple[int, int, int], long_side: int) -> None:
    from worker.engine.pyramid import fitted

    assert fitted(shape, long_side) == tuple(int(side * long_side / max(shape)) for side in shape[:2])
