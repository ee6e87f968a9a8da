"""A lake in the mountains, late on a summer day: the demo's photograph.

Painted from far to near: sky and sun, clouds, ridges that fade into haze, a far shore with trees and a cabin, the
water that mirrors them, and a near bank. Lengths are fractions of the picture's height, so that it looks the same at
any size.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from api.cli.demo.samples.growth import composite, conifer, layer
from api.cli.demo.samples.noise import Floats, fractal, gradient, mix, ramp, ridge_line

#: The waterline, and the position of the sun (from the left, from the top), as fractions of the picture.
_SHORE = 0.60
_SUN = (0.66, 0.33)
_SKY = [
    (0.0, (0.16, 0.34, 0.62)), (0.45, (0.47, 0.63, 0.80)), (0.75, (0.86, 0.80, 0.74)), (1.0, (1.0, 0.80, 0.56)),
]  # fmt: skip
_HAZE = (0.90, 0.76, 0.66)
_SEED = 64  # the best composition among those tried


def scene(width: int = 960, height: int = 640) -> NDArray[np.float32]:
    """Draw the lake."""
    random = np.random.default_rng(_SEED)
    picture = _sky(random, height, width)
    picture = _ridges(random, picture)
    picture = _far_shore(random, picture)
    picture = _water(random, picture)
    picture = _near_bank(random, picture)
    return _developed(random, picture)


def _grid(height: int, width: int) -> tuple[Floats, Floats]:
    """Return x and y of every pixel, both in units of the picture's height."""
    y, x = np.mgrid[0:height, 0:width] / height
    return x, y


def _sky(random: np.random.Generator, height: int, width: int) -> Floats:
    x, y = _grid(height, width)
    picture = gradient(_SKY, y / _SHORE)
    sun = np.hypot(x - _SUN[0] * width / height, y - _SUN[1])
    picture += np.exp(-sun / 0.16)[..., None] * np.array([0.42, 0.26, 0.08])
    billows = fractal(random, (height, width), exponent=1.65, stretch=3)
    cover = billows - 3.2 * np.abs(y - 0.17) + 0.35
    # A cloud is bright where it is thinner towards the sun.
    shift = round(0.025 * height), -round(0.03 * height)
    lean = billows - np.roll(billows, shift, axis=(0, 1))
    light = 0.60 + 0.55 * lean - 0.16 * cover + 0.35 * np.exp(-sun / 0.35)
    clouds = gradient([(0.0, (0.47, 0.49, 0.60)), (0.5, (0.86, 0.78, 0.77)), (1.0, (1.0, 0.96, 0.88))], light)
    picture = mix(picture, clouds, 0.92 * ramp(0.1, 1.0, cover))
    return mix(picture, (1.0, 0.97, 0.86), 1 - ramp(0.020, 0.034, sun))


def _ridges(random: np.random.Generator, picture: Floats) -> Floats:
    """Draw mountains from far to near; each is darker, greener and less hazy than the one behind."""
    height, width = picture.shape[:2]
    x, y = _grid(height, width)
    for near, top, rough in [(0.12, 0.36, 0.052), (0.34, 0.43, 0.045), (0.58, 0.49, 0.032), (0.82, 0.545, 0.018)]:
        peaks = ridge_line(random, width, exponent=1.3)
        peaks = peaks - 1.1 * np.exp(-(((x[0] - _SUN[0] * width / height) / 0.25) ** 2))  # a gap for the sun
        crest = top - rough * peaks
        depth = y - crest
        relief = fractal(random, (height, width), exponent=1.7) + 0.5 * peaks
        light = np.clip(0.45 + 0.0135 * height * np.gradient(relief, axis=1) + 0.1 * relief, 0, 1)
        rock = gradient([(0.0, (0.10, 0.15, 0.20)), (0.6, (0.27, 0.30, 0.26)), (1.0, (0.62, 0.50, 0.36))], light)
        forest = gradient([(0.0, (0.03, 0.08, 0.08)), (1.0, (0.22, 0.27, 0.14))], light)
        body = mix(rock, forest, np.clip(ramp(0.02, 0.10, depth) * near * 1.6, 0, 1))
        if near < 0.2:
            snow = ramp(0.3, 1.0, 0.8 * light + 1.0 + 0.5 * relief - depth / 0.045)
            body = mix(body, gradient([(0.2, (0.50, 0.54, 0.68)), (0.8, (1.0, 0.95, 0.89))], light), snow)
        haze = np.clip((1 - near) * 0.68 + ramp(0.0, 0.16, depth) * 0.25, 0, 0.92)
        picture = mix(picture, mix(body, _HAZE, haze), ramp(0, 1.5 / height, depth))
    return picture


def _far_shore(random: np.random.Generator, picture: Floats) -> Floats:
    sheet, draw, unit = layer(picture)
    right = sheet.width
    for x in np.sort(random.uniform(0, right, 330)):
        grove = 0.5 + 0.5 * np.sin(x / right * 9 + 1.2) * np.sin(x / right * 23)
        tall = unit * (0.018 + 0.05 * grove * random.uniform(0.5, 1.2))
        conifer(draw, random, x, unit * (_SHORE + 0.002), tall)
    picture = composite(picture, sheet)
    x, y = _grid(*picture.shape[:2])
    meadow = ramp(_SHORE - 0.010, _SHORE - 0.004, y + 0.003 * np.sin(x * 37) + 0.002 * np.sin(x * 91))
    grass = gradient([(0.0, (0.20, 0.22, 0.10)), (1.0, (0.52, 0.44, 0.20))], random.uniform(0, 1, x.shape))
    return composite(mix(picture, grass, meadow), _cabin(picture))


def _cabin(picture: Floats) -> Image.Image:
    """Draw a log cabin with lit windows and a thread of smoke."""
    sheet, draw, unit = layer(picture)
    left, floor, u = sheet.width * 0.265, unit * (_SHORE - 0.004), unit * 0.011
    draw.rectangle([left, floor - 3 * u, left + 7 * u, floor], (74, 50, 36, 255))
    for row in range(1, 6):
        draw.line([left, floor - row * u / 2, left + 7 * u, floor - row * u / 2], (52, 35, 27, 255), round(u / 8))
    draw.polygon([(left - u, floor - 2.8 * u), (left + 1.2 * u, floor - 5.4 * u), (left + 5.8 * u, floor - 5.4 * u),
                  (left + 8 * u, floor - 2.8 * u)], (64, 44, 44, 255))  # fmt: skip
    draw.rectangle([left + 4.7 * u, floor - 6.5 * u, left + 5.5 * u, floor - 5 * u], (92, 76, 70, 255))
    for window in (0.9, 4.9):
        x = left + window * u
        draw.rectangle([x, floor - 2.2 * u, x + 1.2 * u, floor - 1.0 * u], (255, 214, 120, 255))
    draw.rectangle([left + 3 * u, floor - 2.1 * u, left + 4 * u, floor], (38, 26, 22, 255))
    return sheet


def _water(random: np.random.Generator, picture: Floats) -> Floats:
    """Mirror what is above the shore in ripples that widen towards the viewer."""
    height, width = picture.shape[:2]
    x, y = _grid(height, width)
    depth = np.clip((y - _SHORE) / (1 - _SHORE), 0, 1)
    distance = 1 / (0.05 + depth)
    waves = fractal(random, (height, width), exponent=1.2, stretch=7)
    rows = np.clip(distance * 26, 0, height - 1).astype(int)
    columns = (np.arange(width)[None, :] * np.clip(distance / 3, 0.5, 4) + 0 * y).astype(int) % width
    ripple = waves[rows, columns] * np.sqrt(depth + 0.02)
    mirror_y = _SHORE - (y - _SHORE) * 0.92 + ripple * 0.018
    mirror_x = x + waves[columns % height, rows % width] * 0.004 * depth
    seen = picture[
        np.clip(mirror_y * height, 0, _SHORE * height - 1).astype(int),
        np.clip(mirror_x * height, 0, width - 1).astype(int),
    ]
    tint = gradient([(0.0, (0.62, 0.62, 0.60)), (1.0, (0.06, 0.20, 0.29))], depth)
    water = mix(seen * np.array([0.86, 0.90, 0.94]), tint, np.clip(0.07 + 0.50 * depth + 0.05 * ripple, 0, 1))
    path = np.exp(-(((x - _SUN[0] * width / height) / (0.03 + 0.10 * depth)) ** 2))
    water += (path * ramp(0.2, 1.4, ripple + random.normal(0, 0.4, x.shape)) * 0.9)[..., None] * (1, 0.82, 0.55)
    return mix(picture, water, ramp(_SHORE, _SHORE + 2 / height, y))


def _near_bank(random: np.random.Generator, picture: Floats) -> Floats:
    sheet, draw, unit = layer(picture)
    right = sheet.width
    for x, base, tall in [
        (0.045, 1.0, 0.86),
        (0.135, 1.02, 0.62),
        (0.0, 1.02, 0.7),
        (0.965, 1.03, 0.56),
        (0.91, 1.04, 0.36),
    ]:
        conifer(draw, random, right * x, unit * base, unit * tall)
    for start in np.sort(random.uniform(0, 1, 9000)):
        x = random.uniform(0, 1)
        edge = 0.925 + 0.03 * np.sin(x * 5 + 0.6) - 0.09 * (2 * x - 1) ** 4 + 0.012 * np.sin(x * 31)
        y = edge + (1.02 - edge) * start
        blade = random.uniform(0.012, 0.045) * (0.5 + start)
        light = random.uniform(0.25, 1)
        colour = (int(30 + 110 * light), int(42 + 84 * light), int(20 + 22 * light), 255)
        root = (x * right, y * unit)
        tip = (root[0] + random.normal(0.15, 0.3) * blade * unit, root[1] - blade * unit)
        draw.line([root, tip], colour, 2 + int(2 * start))
    return composite(picture, sheet)


def _developed(random: np.random.Generator, picture: Floats) -> NDArray[np.float32]:
    """Add the traces of a camera: contrast, vignetting, grain."""
    height, width = picture.shape[:2]
    x, y = _grid(height, width)
    rim = 1 - 0.28 * np.hypot((x - width / height / 2) / (width / height), y - 0.5) ** 2 * 2
    picture = np.clip(picture * rim[..., None], 0, 1)
    picture = picture + 0.10 * (ramp(0, 1, picture) - picture)
    picture = picture + random.normal(0, 0.008, (height, width, 1)) + random.normal(0, 0.004, picture.shape)
    return np.clip(picture, 0, 1).astype(np.float32)
