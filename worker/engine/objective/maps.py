"""The maps that losses are computed from: VGG19's layers, the image's own pixels, and its Laplacian.

A map is named by its layer, `pixels`, or `laplacian_N` for the Laplacian of the image pooled by N. Its shape is
`[batch, height, width, channels]`, and a position stands for a square of pixels.

Source of the Laplacian: Li, Xu, Nie and Chua 2017, Laplacian-Steered Neural Style Transfer.
"""

from collections.abc import Collection
from typing import Any

import tensorflow as tf

from shared.painting import vgg19

#: The image itself, RGB in 0 to 1, in float32.
PIXELS = "pixels"
_LAPLACIAN = "laplacian_"


def laplacian_name(pool: int) -> str:
    """Name the Laplacian of the image pooled by `pool` pixels."""
    return f"{_LAPLACIAN}{pool}"


def is_layer(name: str) -> bool:
    """Say whether a map is one of VGG19's layers, so that the network computes it."""
    return name in vgg19.LAYERS


def stride(name: str) -> int:
    """Return how many pixels one position of a map stands for, along each side."""
    if name == PIXELS:
        return 1
    return int(name.removeprefix(_LAPLACIAN)) if name.startswith(_LAPLACIAN) else vgg19.stride(name)


def channels(name: str) -> int:
    """Return the number of channels of a map."""
    return vgg19.channels(name) if is_layer(name) else 3


def dtype(name: str, precision: str) -> str:
    """Return the dtype of a map where the network computes in `precision`."""
    return precision if is_layer(name) else "float32"


def map_size(size: tuple[int, int], name: str, *, mirrored: bool) -> tuple[int, int]:
    """Return the (height, width) of a map for an image of `size`; only layers with zero padding drop a remainder."""
    if is_layer(name):
        return vgg19.map_size(size, name, mirrored=mirrored)
    step = stride(name)
    return -(-size[0] // step), -(-size[1] // step)


def pixel_maps(images: Any, names: Collection[str]) -> dict[str, Any]:
    """Compute those of the named maps that need no network."""
    found = {name: laplacian(images, stride(name)) for name in names if name.startswith(_LAPLACIAN)}
    return {**found, PIXELS: images} if PIXELS in names else found


def laplacian(images: Any, pool: int) -> Any:
    """Average squares of `pool` pixels, and subtract from four times each average its neighbours: `[b, h, w, 3]`.

    Squares at the lower and right border are completed, and neighbours beyond any border replaced, by mirroring.
    """
    height, width = tf.shape(images)[1], tf.shape(images)[2]
    images = tf.pad(images, [[0, 0], [0, -height % pool], [0, -width % pool], [0, 0]], "SYMMETRIC")
    averages = _averages(images, pool)
    padded = tf.pad(averages, [[0, 0], [1, 1], [1, 1], [0, 0]], "SYMMETRIC")
    rows = padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1]
    columns = padded[:, 1:-1, :-2] + padded[:, 1:-1, 2:]
    return 4.0 * averages - rows - columns


def _averages(images: Any, side: int) -> Any:
    """Average squares of `side` pixels, without the pooling of oneDNN, which keeps memory for each shape."""
    shape = tf.shape(images)
    squares = tf.reshape(images, [shape[0], shape[1] // side, side, shape[2] // side, side, 3])
    return tf.reduce_mean(squares, axis=[2, 4])


def crop(maps: Any, box: Any, pixels_per_position: int) -> Any:
    """Crop maps `[any, height, width, …]` to a `box` in pixels of the image; None leaves them as they are."""
    if box is None:
        return maps
    step = pixels_per_position
    return maps[:, box[0] // step : box[2] // step, box[1] // step : box[3] // step]
