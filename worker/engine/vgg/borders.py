"""Maps on a grid: an image of any size fills the upper left corner of maps whose sides are multiples of a step.

oneDNN, which computes the convolutions and the pooling on a CPU, keeps some hundred kilobytes for every shape that it
ever meets, and has no setting that limits it. On the grid the network meets few shapes, whatever images it is given.

Exact: before each convolution and pooling, all that lies beyond the corner is replaced by what the border asks for, so
no position of the corner ever sees it. Maps are `[batch, height, width, channels]`, and `corner` is (height, width) of
the corner in positions, two scalar tensors.
"""

from typing import Any

import tensorflow as tf

#: Sides of an image are rounded up to a multiple of this many pixels: a multiple of 16, so that pooling divides them.
GRID_PX = 32

Corner = tuple[Any, Any]


def on_grid(images: Any) -> Any:
    """Extend images `[batch, height, width, 3]` at the right and below, by zeros."""
    height, width = tf.shape(images)[1], tf.shape(images)[2]
    return tf.pad(images, [[0, 0], [0, -height % GRID_PX], [0, -width % GRID_PX], [0, 0]])


def cut(maps: Any, corner: Corner) -> Any:
    """Return the corner alone."""
    # unlike indexing, a slice of the whole copies nothing, forward or back
    found = tf.slice(maps, [0, 0, 0, 0], [-1, *corner, -1])
    found.set_shape([None, None, None, maps.shape[-1]])
    return found


def with_zeros(maps: Any, corner: Corner) -> Any:
    """Set all beyond the corner to zero."""
    shape = tf.shape(maps)
    return tf.pad(cut(maps, corner), [[0, 0], [0, shape[1] - corner[0]], [0, shape[2] - corner[1]], [0, 0]])


def mirrored(maps: Any, corner: Corner) -> Any:
    """Surround the corner by its outermost positions, and the maps by a border: `[…, height + 2, width + 2, …]`."""
    return _repeated(maps, *corner, border=1)


def completed(maps: Any, corner: Corner) -> Any:
    """Repeat the corner's last row and column beyond it if one is odd, so that pooling pools it alone."""
    height, width = corner
    is_even = tf.equal(height % 2 + width % 2, 0)
    return tf.cond(is_even, lambda: maps, lambda: _repeated(maps, height, width, border=0))


def _repeated(maps: Any, height: Any, width: Any, *, border: int) -> Any:
    @tf.custom_gradient  # type: ignore[untyped-decorator]  # TensorFlow has no types
    def repeat(maps: Any) -> tuple[Any, Any]:
        shape = tf.shape(maps)
        rows, columns = (
            tf.clip_by_value(tf.range(-border, side + border), 0, inner - 1)
            for side, inner in ((shape[1], height), (shape[2], width))
        )

        def gradient(upstream: Any) -> Any:
            # nothing sees more than one position beyond the corner, so the rest of the gradient is zero
            after = [tf.minimum(1, side + border - inner) for side, inner in ((shape[1], height), (shape[2], width))]
            seen = cut(upstream, (border + height + after[0], border + width + after[1]))
            padding = [[0, 0], [border, after[0]], [border, after[1]], [0, 0]]
            own = tf.raw_ops.MirrorPadGrad(input=seen, paddings=padding, mode="SYMMETRIC")
            return tf.pad(own, [[0, 0], [0, shape[1] - height], [0, shape[2] - width], [0, 0]])

        # a gather of rows and one of columns take a third of the time of TensorFlow's MirrorPad
        return tf.gather(tf.gather(maps, rows, axis=1), columns, axis=2), gradient

    return repeat(maps)
