"""VGG19's forward pass, up to the last layer needed.

Plain operations on constants instead of a Keras model: the gradient with respect to the weights is never needed.
Source: Simonyan and Zisserman 2015; the numbers are those of `keras.applications.VGG19(include_top=False)` after its
`preprocess_input`.

Differs from the source: pooling may average (Gatys et al. 2016, section 2) or take the root of the mean square, and
borders may be mirrored instead of padded with zeros, which show as a frame around the image.
"""

from collections.abc import Callable, Collection
from functools import lru_cache
from typing import Any

import tensorflow as tf

from shared.painting.vgg19 import block, deepest, up_to
from worker.engine.vgg import borders
from worker.engine.vgg.network import Network

#: ImageNet's mean colour, BGR in 0 to 255, which `vgg19.preprocess_input` subtracts.
_MEAN_BGR = (103.939, 116.779, 123.68)

#: What is added to a mean square before its root is taken; features are of the order of 1 to 1000.
_L2_EPSILON = 1e-6

#: Maps images `[batch, height, width, 3]`, RGB in 0 to 1, to the feature maps of each layer.
Forward = Callable[[Any], dict[str, Any]]


def preprocess(images: Any) -> Any:
    """Convert RGB in 0 to 1 to VGG19's input: BGR in 0 to 255 minus ImageNet's mean colour."""
    return tf.reverse(images * 255.0, axis=[-1]) - tf.constant(_MEAN_BGR)


def forward(
    network: Network,
    layers: Collection[str],
    *,
    pooling: str,
    padding: str,
    pooling_scale: float = 1.0,
    precision: str = "float32",
) -> Forward:
    """Build the forward pass to `layers`: feature maps `[batch, height, width, channels]` each.

    `layers` are names such as `block4_conv2`; `pooling` and `padding` are those of `StyleParams`. All convolutions are
    computed in `precision`, which is the maps' dtype.
    """
    kernels = _constants(network, precision)
    convolutions = [(layer, *kernels[layer]) for layer in up_to(deepest(layers))]
    pool = {"max": tf.nn.max_pool2d, "average": tf.nn.avg_pool2d, "l2": _l2_pool2d}[pooling]
    mirrored = padding == "mirror"

    def run(images: Any) -> dict[str, Any]:
        features: dict[str, Any] = {}
        corner = tf.shape(images)[1], tf.shape(images)[2]
        x = borders.on_grid(tf.cast(preprocess(images), precision))
        depth = 1
        for layer, weights, bias in convolutions:
            if block(layer) > depth:
                depth = block(layer)
                # as Keras does, drop an odd last row or column; with mirrored borders, keep it
                x = pool(borders.completed(x, corner) if mirrored else x, 2, 2, "VALID")
                corner = tuple((side + 1) // 2 if mirrored else side // 2 for side in corner)
                if pooling_scale != 1.0:
                    x *= pooling_scale
            x = borders.mirrored(x, corner) if mirrored else borders.with_zeros(x, corner)
            x = tf.nn.conv2d(x, weights, 1, "VALID" if mirrored else "SAME")
            x = tf.nn.relu(tf.nn.bias_add(x, bias))
            if layer in layers:
                features[layer] = borders.cut(x, corner)
        return features

    return run


def _l2_pool2d(maps: Any, size: int, strides: int, padding: str) -> Any:
    """Return the root of the mean square of each window."""
    # the root of 0 has no finite gradient
    return tf.sqrt(tf.nn.avg_pool2d(tf.square(maps), size, strides, padding) + _L2_EPSILON)


@lru_cache(maxsize=4)
def _constants(network: Network, precision: str) -> dict[str, tuple[Any, Any]]:
    """Put the kernels on the device, once per process, network and precision."""
    return {
        layer: (tf.cast(kernel.weights, precision), tf.cast(kernel.bias, precision))
        for layer, kernel in network.kernels.items()
    }
