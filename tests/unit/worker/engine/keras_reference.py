"""The published recipe as a plain loop over Keras' own parts: the reference for `classic`.

Written from the formulas alone, sharing no code with the engine.
"""

import keras
import numpy as np
import tensorflow as tf

from worker.engine.types import Picture
from worker.engine.vgg.network import Network

CONTENT_LAYERS = ["block5_conv2"]
STYLE_LAYERS = ["block1_conv1", "block2_conv1", "block3_conv1", "block4_conv1", "block5_conv1"]
CONTENT_WEIGHT = 1e4
STYLE_WEIGHT = 1e-2


def keras_vgg19(network: Network) -> keras.Model:
    """Return Keras' model with the weights of `network`."""
    model = keras.applications.VGG19(include_top=False, weights=None)
    for layer, kernel in network.kernels.items():
        model.get_layer(layer).set_weights(list(kernel))
    model.trainable = False
    return model


def load(picture: Picture, long_side: int) -> tf.Tensor:
    height, width = (int(side * long_side / max(picture.shape)) for side in picture.shape[:2])
    return tf.image.resize(picture[np.newaxis], (height, width))


def gram_matrix(features: tf.Tensor) -> tf.Tensor:
    sums = tf.linalg.einsum("bijc,bijd->bcd", features, features)
    return sums / tf.cast(tf.shape(features)[1] * tf.shape(features)[2], tf.float32)


class PlainLoop:
    """One image; `step` returns the losses (total, content, style) from before its update."""

    def __init__(self, content: Picture, style: Picture, network: Network, long_side: int) -> None:
        vgg = keras_vgg19(network)
        layers = STYLE_LAYERS + CONTENT_LAYERS
        self._model = keras.Model(vgg.inputs, [vgg.get_layer(name).output for name in layers])
        self._style_targets = [gram_matrix(layer) for layer in self._features(load(style, long_side))[0]]
        self._content_targets = self._features(load(content, long_side))[1]
        self.image = tf.Variable(load(content, long_side))
        self._adam = keras.optimizers.Adam(learning_rate=0.02, beta_1=0.99, beta_2=0.999, epsilon=1e-1)
        self._adam.build([self.image])

    def _features(self, image: tf.Tensor) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        outputs = self._model(keras.applications.vgg19.preprocess_input(image * 255.0))
        return outputs[: len(STYLE_LAYERS)], outputs[len(STYLE_LAYERS) :]

    def _losses(self) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        styles, contents = self._features(self.image)
        style = tf.add_n(
            [tf.reduce_mean((gram_matrix(f) - a) ** 2) for f, a in zip(styles, self._style_targets, strict=True)]
        )
        content = tf.add_n([tf.reduce_mean((f - p) ** 2) for f, p in zip(contents, self._content_targets, strict=True)])
        style *= STYLE_WEIGHT / len(STYLE_LAYERS)
        content *= CONTENT_WEIGHT / len(CONTENT_LAYERS)
        return style + content, content, style

    def step(self) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            losses = self._losses()
        self._adam.apply_gradients([(tape.gradient(losses[0], self.image), self.image)])
        self.image.assign(tf.clip_by_value(self.image, 0.0, 1.0))
        return losses
