"""Synthetic images to learn the patch weights from: dead leaves and brush strokes.

The dead leaves model (textured shapes that occlude each other, their sizes following a power law) shares edges,
occlusion and a 1/f spectrum with photographs; strokes that follow a flow share theirs with paintings.
Source: Baradad et al. 2021, Learning to See by Looking at Noise. Images are float32 `[size, size, 3]`, RGB in 0 to 1.

Invariant: the same generator state draws the same image.
"""

import colorsys
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Image = NDArray[np.float32]
Field = NDArray[np.float64]

#: Shapes per image, enough to cover it several times over.
_LEAVES = 250
_STROKES = 900


class _Shape(NamedTuple):
    """An oriented superellipse: centre and half axes in pixels, angle in radians, exponent of its outline."""

    x: float
    y: float
    long: float
    short: float
    angle: float
    #: 1 is a diamond, 2 an ellipse, 8 almost a rectangle.
    power: float


def dead_leaves(rng: Generator, size: int) -> Image:
    """Draw shapes over shapes, each textured and shaded."""
    image = np.full((size, size, 3), 0.5)
    palette = _palette(rng, 8)
    textures = [_texture(rng, size, exponent) for exponent in np.linspace(0.6, 1.4, 6)]
    for _ in range(_LEAVES):
        long = 0.03 * size * min((1 - rng.random()) ** -0.6, 12.0)
        x, y, angle = rng.uniform(0, size), rng.uniform(0, size), rng.uniform(0, np.pi)
        shape = _Shape(x, y, long, long * rng.uniform(0.3, 1.0), angle, rng.choice([1.0, 2.0, 8.0]))
        texture = np.roll(textures[rng.integers(len(textures))], tuple(rng.integers(size, size=2)), (0, 1))
        colour = palette[rng.integers(len(palette))] + rng.normal(0, 0.08, 3)
        _paint(image, shape, colour, texture * rng.uniform(0.0, 0.2), rng.uniform(-0.15, 0.15, 2))
    return _clipped(image)


def strokes(rng: Generator, size: int) -> Image:
    """Draw brush strokes along a smooth flow, with similar hues close together."""
    image = np.full((size, size, 3), 0.5)
    palette = _palette(rng, 6)
    flow = _texture(rng, size, 2.2) * rng.uniform(0.6, 1.5)
    hues = _texture(rng, size, 2.0)
    length = size * rng.uniform(0.04, 0.12)
    for _ in range(_STROKES):
        x, y = rng.uniform(0, size, 2)
        here = int(y), int(x)
        near = palette[int((hues[here] * 1.2 + 3 + rng.normal(0, 0.5)) % len(palette))]
        shape = _Shape(x, y, length * rng.uniform(0.6, 1.4), length * rng.uniform(0.1, 0.25), flow[here], 3.0)
        colour = near + rng.normal(0, 0.06, 3) + rng.normal(0, 0.06)
        _paint(image, shape, colour, np.zeros((size, size)), np.array([0.0, rng.uniform(-0.2, 0.2)]), bristles=0.08)
    return _clipped(image)


def _clipped(image: Field) -> Image:
    return np.asarray(np.clip(image, 0, 1), np.float32)


def _paint(
    image: Field, shape: _Shape, colour: Field, texture: Field, shading: Field, *, bristles: float = 0.0
) -> None:
    """Draw one shape onto `image`, with `shading` as the slope of brightness along its long and short axis."""
    size = len(image)
    radius = int(np.hypot(shape.long, shape.short)) + 1
    top, bottom = max(0, int(shape.y) - radius), min(size, int(shape.y) + radius + 1)
    left, right = max(0, int(shape.x) - radius), min(size, int(shape.x) + radius + 1)
    y, x = np.mgrid[top:bottom, left:right]
    along = ((x - shape.x) * np.cos(shape.angle) + (y - shape.y) * np.sin(shape.angle)) / shape.long
    across = ((y - shape.y) * np.cos(shape.angle) - (x - shape.x) * np.sin(shape.angle)) / shape.short
    distance = np.abs(along) ** shape.power + np.abs(across) ** shape.power
    # an antialiased edge
    cover = np.clip((1 - distance ** (1 / shape.power)) * shape.short + 0.5, 0, 1)[..., np.newaxis]
    light = texture[top:bottom, left:right] + shading[0] * along + shading[1] * across
    light = light + bristles * np.sin(9.0 * across + shape.x)
    image[top:bottom, left:right] += cover * (colour + light[..., np.newaxis] - image[top:bottom, left:right])


def _palette(rng: Generator, colours: int) -> Field:
    """Choose colours of evenly spaced hues and random saturation and value: `[colours, 3]`."""
    hues = (rng.random() + np.arange(colours) / colours) % 1
    return np.array([colorsys.hsv_to_rgb(hue, rng.uniform(0.3, 1.0), rng.uniform(0.15, 1.0)) for hue in hues])


def _texture(rng: Generator, size: int, exponent: float) -> Field:
    """Draw noise with an amplitude spectrum of 1 / f^`exponent`, of mean 0 and standard deviation 1."""
    fy, fx = np.fft.fftfreq(size)[:, np.newaxis], np.fft.rfftfreq(size)
    amplitude = np.maximum(np.hypot(fy, fx), 1 / size) ** -exponent
    amplitude[0, 0] = 0
    noise = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(size, size))) * amplitude, s=(size, size))
    return np.asarray(noise / noise.std())
