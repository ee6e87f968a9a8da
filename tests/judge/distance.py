"""How like its style and its content a picture is, by plain VGG19; shares no code with the engine.

| distance | what it is |
| --- | --- |
| style | mean over block1_conv1 to block5_conv1 of ‖G − A‖² / ‖A‖², Gram matrices divided by their positions |
| content | ‖F − P‖² / ‖P‖² at block4_conv2 |

0 is the painting's own style and the photograph's own content. Max pooling, float32, borders mirrored. A picture is
judged at its own size, or at one given, with the style brought to the same long side.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image

from shared.painting.vgg19 import LAYERS, block
from tests.support import trained_weights

_STYLE = tuple(f"block{number}_conv1" for number in range(1, 6))
_CONTENT = "block4_conv2"
_DEEPEST = LAYERS.index(_STYLE[-1])
#: ImageNet's mean colour: blue, green, red.
_MEAN = (103.939, 116.779, 123.68)

Maps = dict[str, Any]


class Distances(NamedTuple):
    """How far a picture is from its painting, over the layers and by each, and from its photograph."""

    style: float
    content: float
    by_layer: tuple[float, ...]


class Judge:
    """Judges pictures of one photograph in one style at one size (width, height)."""

    def __init__(self, content: Image.Image, style: Image.Image, size: tuple[int, int]) -> None:
        grown = max(size) / max(style.size)
        self._size = size
        self._content = _features(_sized(content, size))[_CONTENT]
        self._grams = _grams(_features(_sized(style, (round(style.width * grown), round(style.height * grown)))))

    def distances(self, picture: Image.Image) -> Distances:
        """Judge `picture`, brought to the size."""
        found = _features(_sized(picture, self._size))
        grams = _grams(found)
        by_layer = tuple(_relative(grams[layer], self._grams[layer]) for layer in _STYLE)
        return Distances(float(np.mean(by_layer)), _relative(found[_CONTENT], self._content), by_layer)


def _sized(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    return picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)


def _features(picture: Image.Image) -> Maps:
    """Evaluate the layers that are compared: `[1, height, width, channels]` each."""
    x = tf.constant(np.asarray(picture, np.float32)[np.newaxis, ..., ::-1] - np.array(_MEAN, np.float32))
    found, depth = {}, 1
    for layer in LAYERS[: _DEEPEST + 1]:
        if block(layer) > depth:
            x, depth = tf.nn.max_pool2d(x, 2, 2, "VALID"), block(layer)
        kernel = trained_weights.network().kernels[layer]
        x = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], "REFLECT")
        x = tf.nn.relu(tf.nn.conv2d(x, kernel.weights, 1, "VALID") + kernel.bias)
        if layer in (*_STYLE, _CONTENT):
            found[layer] = x
    return found


def _grams(maps: Mapping[str, Any]) -> Maps:
    grams = {}
    for layer in _STYLE:
        rows = tf.reshape(maps[layer], [-1, maps[layer].shape[-1]])
        grams[layer] = tf.matmul(rows, rows, transpose_a=True) / float(rows.shape[0])
    return grams


def _relative(found: Any, wanted: Any) -> float:
    return float(tf.reduce_sum((found - wanted) ** 2) / tf.reduce_sum(wanted**2))
