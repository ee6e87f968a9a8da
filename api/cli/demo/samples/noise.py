"""Noise and ramps, from which clouds, slopes, ripples and brush strokes are drawn.

Every function is pure; randomness comes from a generator argument, so that a seed always draws the same picture.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating[Any]]


def fractal(random: np.random.Generator, shape: tuple[int, int], *, exponent: float, stretch: float = 1.0) -> Floats:
    """Return noise whose amplitude falls with frequency as f^-exponent, with mean 0 and standard deviation 1.

    `stretch` makes its features that many times wider than high.
    """
    height, width = shape
    frequency = np.hypot(np.fft.fftfreq(height)[:, None] / stretch, np.fft.rfftfreq(width)[None, :])
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(random.standard_normal(shape)) / frequency**exponent
    noise = np.fft.irfft2(spectrum, s=shape)
    return np.asarray((noise - noise.mean()) / noise.std())


def ridge_line(random: np.random.Generator, width: int, *, exponent: float) -> Floats:
    """Return a skyline, one height per column, with mean 0 and standard deviation 1; it does not wrap around."""
    return fractal(random, (1, 2 * width), exponent=exponent)[0, :width]


def ramp(low: float, high: float, at: ArrayLike) -> Floats:
    """Rise smoothly from 0 at `low` to 1 at `high`."""
    t = np.clip((np.asarray(at, float) - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def mix(below: ArrayLike, above: ArrayLike, opacity: ArrayLike) -> Floats:
    """Blend the colours `above` over `below` with an opacity of 0 to 1 per pixel."""
    alpha = np.asarray(opacity, float)[..., None]
    return np.asarray(np.asarray(below) * (1 - alpha) + np.asarray(above) * alpha)


def gradient(stops: list[tuple[float, tuple[float, float, float]]], at: ArrayLike) -> Floats:
    """Interpolate colours between (position, colour) stops."""
    at = np.asarray(at, float)
    positions = [position for position, _ in stops]
    return np.stack([np.interp(at, positions, [colour[c] for _, colour in stops]) for c in range(3)], axis=-1)
