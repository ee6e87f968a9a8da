"""VGG19's architecture: its convolutions in order, their channels and receptive fields.

Standard library only, so that a request can be checked and its cost estimated without TensorFlow.
Source: Simonyan and Zisserman 2015, table 1, column E, without the classifier.
"""

from collections.abc import Iterable

#: The number of convolutions in each block, and of their output channels.
_CONVOLUTIONS = {1: 2, 2: 2, 3: 4, 4: 4, 5: 4}
_CHANNELS = {1: 64, 2: 128, 3: 256, 4: 512, 5: 512}

#: The last block's stride: an image may be cut at its multiples without splitting pixels that are pooled together.
ALIGNMENT_PX = 16

LAYERS: tuple[str, ...] = tuple(f"block{b}_conv{i}" for b, n in _CONVOLUTIONS.items() for i in range(1, n + 1))


def block(layer: str) -> int:
    """Return the block of `layer`, 1 to 5."""
    return int(layer[len("block")])


def stride(layer: str) -> int:
    """Return how many pixels one position of `layer` stands for, along each side."""
    return int(2 ** (block(layer) - 1))


def channels(layer: str) -> int:
    """Return the number of output channels of `layer`."""
    return _CHANNELS[block(layer)]


def up_to(layer: str) -> tuple[str, ...]:
    """Return the layers that must be computed to get `layer`, itself included."""
    return LAYERS[: LAYERS.index(layer) + 1]


def map_size(size: tuple[int, int], layer: str, *, mirrored: bool) -> tuple[int, int]:
    """Return the (height, width) of `layer` for an image of `size`; mirrored borders keep an odd last row or column."""
    step = stride(layer)
    height, width = (-(-side // step) if mirrored else side // step for side in size)
    return height, width


def deepest(layers: Iterable[str]) -> str:
    """Return the last of `layers` in the network's order."""
    return max(layers, key=LAYERS.index)


def kernel_shapes() -> dict[str, tuple[int, int, int, int]]:
    """Return the shape of each kernel, in order: `[3, 3, channels in, channels out]`."""
    shapes, inputs = {}, 3
    for layer in LAYERS:
        shapes[layer] = (3, 3, inputs, channels(layer))
        inputs = channels(layer)
    return shapes


def receptive_radius(layer: str) -> int:
    """Return how far, in pixels, a position of `layer` sees beyond its own pixels."""
    seen, radius = 1, 0
    for name in up_to(layer):
        if stride(name) > seen:
            radius += seen  # 2 × 2 pooling: one more position of the layer before
            seen = stride(name)
        radius += seen
    return radius


def aligned(length: int) -> int:
    """Round a length up to a multiple of the alignment."""
    return -(-length // ALIGNMENT_PX) * ALIGNMENT_PX


def halo(layers: Iterable[str], *, laplacian_pool: int = 0) -> int:
    """Return how many pixels around a tile must be evaluated with it for an exact gradient of `layers`.

    Twice the receptive radius of the deepest one: to the positions that see a pixel, and on to all that they see. A
    Laplacian of squares of `laplacian_pool` pixels, 0 for none, sees one square on either side.
    """
    return aligned(max(2 * receptive_radius(deepest(layers)), 3 * laplacian_pool))
