"""Fields under a whirling evening sky, in thick oil: the demo's painting.

A flat picture of colours and a field of directions come first. Then thousands of strokes follow the field, broad ones
below fine ones, each a bundle of bristle tracks in the colour found at its start. The tracks also build up a relief,
which is lit from the upper left like impasto.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from api.cli.demo.samples.noise import Floats, fractal, gradient, mix, ramp

_SEED = 5
#: How a stroke narrows towards its ends, at each point of its path.
_TAPER = np.array([0.25, 0.72, 0.95, 1, 1, 1, 0.95, 0.72, 0.25])[:, None]
_FINE = 2  # supersampling, which softens the edges of strokes
_SUN = (0.86, 0.27)
#: The whirls of the sky: x, y and radius as fractions of the height, and the direction of rotation.
_WHIRLS = [
    (0.86, 0.27, 0.24, 1),
    (0.36, 0.22, 0.17, -1),
    (0.08, 0.42, 0.12, 1),
    (1.15, 0.12, 0.12, -1),
    (0.58, 0.45, 0.10, -1),
]
_NIGHT = [
    (0.0, (0.03, 0.07, 0.32)), (0.3, (0.04, 0.20, 0.58)), (0.5, (0.05, 0.42, 0.70)),
    (0.7, (0.12, 0.62, 0.68)), (0.86, (0.60, 0.80, 0.62)), (1.0, (0.98, 0.90, 0.60)),
]  # fmt: skip
_GLOW = [
    (0.0, (1.0, 0.96, 0.66)), (0.3, (1.0, 0.84, 0.20)), (0.5, (0.98, 0.60, 0.08)),
    (0.75, (0.90, 0.30, 0.10)), (1.0, (0.55, 0.16, 0.36)),
]  # fmt: skip


class _Motif(NamedTuple):
    """The subject: the colour and the brush direction at each pixel."""

    colour: Floats
    angle: Floats


def painting(width: int = 800, height: int = 640) -> NDArray[np.float32]:
    """Draw the fields."""
    random = np.random.default_rng(_SEED)
    motif = _motif(random, height, width)
    ground = Image.fromarray(np.rint(motif.colour * 160).astype(np.uint8))
    canvas = ground.resize((width * _FINE, height * _FINE))
    relief = Image.new("L", canvas.size)
    for length, breadth, cover in [(0.13, 0.030, 2.2), (0.085, 0.017, 2.0), (0.05, 0.010, 1.3)]:
        _lay_strokes(random, motif, canvas, relief, length * height, breadth * height, cover)
    return _lit(random, canvas, relief, (width, height))


def _motif(random: np.random.Generator, height: int, width: int) -> _Motif:
    y, x = np.mgrid[0:height, 0:width] / height
    colour, angle = _sky(random, x, y)
    for ground, turn, inside in _grounds(random, x, y):
        colour = mix(colour, ground, inside)
        angle = np.where(inside > 0.5, turn, angle)
    return _Motif(colour, angle)


def _sky(random: np.random.Generator, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    flow_x, flow_y = np.ones_like(x), 0.35 * np.sin(5 * x + 3 * y)
    bands = 0.6 * fractal(random, x.shape, exponent=1.8, stretch=2)
    for centre_x, centre_y, radius, sense in _WHIRLS:
        away_x, away_y = x - centre_x, y - centre_y
        distance = np.hypot(away_x, away_y) + 1e-6
        pull = 6 * np.exp(-((distance / radius) ** 2)) * sense
        spiral = 0.22
        flow_x += pull * (-away_y + spiral * away_x) / distance
        flow_y += pull * (away_x + spiral * away_y) / distance
        arms = np.sin(40 * distance + sense * 2 * np.arctan2(away_y, away_x))
        bands += 1.1 * arms * np.exp(-((distance / radius / 1.2) ** 2))
    tone = np.clip(0.20 + 0.62 * y + 0.15 * bands, 0, 1)
    colour = gradient(_NIGHT, tone)
    sun = np.hypot(x - _SUN[0], y - _SUN[1])
    rings = sun / 0.20 + 0.05 * np.sin(sun * 130)
    colour = mix(colour, gradient(_GLOW, rings), 1 - ramp(0.75, 1.25, rings))
    for centre_x, centre_y, radius, _ in _WHIRLS[1:]:
        star = np.hypot(x - centre_x, y - centre_y) / radius
        colour = mix(
            colour, gradient([(0.0, (1.0, 0.95, 0.70)), (0.3, (0.98, 0.86, 0.42))], star), 1 - ramp(0.16, 0.42, star)
        )
    return colour, np.arctan2(flow_y, flow_x)


def _grounds(random: np.random.Generator, x: Floats, y: Floats) -> list[tuple[Floats, Floats, Floats]]:
    """Return the hills and fields from far to near: colours, direction, and mask."""
    wobble = fractal(random, x.shape, exponent=1.6)
    grounds = []
    for crest, wave, slope, colours in [
        (0.60, 0.045, 2.3, [(0.04, 0.10, 0.36), (0.20, 0.22, 0.56), (0.42, 0.30, 0.58)]),
        (0.67, 0.035, 4.1, [(0.02, 0.26, 0.30), (0.06, 0.44, 0.36), (0.42, 0.62, 0.30)]),
        (0.73, 0.030, 3.0, [(0.76, 0.34, 0.06), (0.96, 0.66, 0.10), (1.0, 0.84, 0.34)]),
        (0.84, 0.040, 2.0, [(0.02, 0.22, 0.16), (0.16, 0.46, 0.14), (0.58, 0.70, 0.16)]),
    ]:
        line = crest + wave * np.sin(slope * x + 9 * crest) + 0.4 * wave * np.sin(2.7 * slope * x)
        depth = y - line
        furrow = np.sin((x - 0.6) / (depth + 0.16) * 9 + 0.8 * wobble)
        tone = np.clip(0.5 + 0.28 * furrow + 0.16 * wobble, 0, 1)
        body = gradient(list(zip((0.0, 0.5, 1.0), colours, strict=True)), tone)
        towards = (
            np.arctan2(depth + 0.16, x - 0.6)
            if crest > 0.7
            else np.arctan(wave * slope * np.cos(slope * x + 9 * crest))
        )
        grounds.append((body, towards + 0.12 * wobble, ramp(0, 0.006, depth)))
    poppies = ramp(1.05, 1.25, fractal(random, x.shape, exponent=0.9)) * ramp(0.82, 0.92, y)
    grounds.append((np.broadcast_to(np.array([0.90, 0.12, 0.08]), (*x.shape, 3)), 0.6 * wobble, poppies))
    return grounds


def _lay_strokes(
    random: np.random.Generator,
    motif: _Motif,
    canvas: Image.Image,
    relief: Image.Image,
    length: float,
    breadth: float,
    cover: float,
) -> None:
    """Cover the canvas `cover` times with strokes of about this length and breadth, in pixels of the picture."""
    height, width = motif.angle.shape
    count = int(cover * height * width / (length * breadth))
    start = random.uniform((0, 0), (width, height), (count, 2))
    paths = _paths(motif.angle, start, length * random.uniform(0.6, 1.3, count))
    row, column = start[:, 1].astype(int), start[:, 0].astype(int)
    paint = motif.colour[row, column] + random.normal(0, 0.05, (count, 1)) + random.normal(0, 0.035, (count, 3))
    draw, press = ImageDraw.Draw(canvas), ImageDraw.Draw(relief)
    bristles = max(4, round(breadth / 2.2))
    for path, colour in zip(paths, paint, strict=True):
        across = np.stack([-np.gradient(path[:, 1]), np.gradient(path[:, 0])], axis=-1)
        across /= np.hypot(*across.T)[:, None] + 1e-9
        load = random.uniform(0.75, 1.0)
        for offset in np.linspace(-0.5, 0.5, bristles):
            track = (path + across * _TAPER * offset * breadth) * _FINE
            first, last = random.integers(0, 2), len(track) - random.integers(0, 2)
            points = [tuple(point) for point in track[first:last].tolist()]
            shade = colour * random.uniform(0.90, 1.08)
            thick = round(breadth / bristles * _FINE * 1.3) + 1
            draw.line(points, tuple(int(c) for c in np.clip(shade * 255, 0, 255)), thick)
            press.line(points, int(255 * load * (1 - 1.1 * offset**2) * random.uniform(0.6, 1)), thick)


def _paths(angle: Floats, start: Floats, length: Floats) -> Floats:
    """Follow the field from each start in both directions; shape `[strokes, points, 2]`."""
    height, width = angle.shape
    halves = []
    for sense in (-1, 1):
        at, points = start.copy(), [start]
        for _ in range(4):
            row = np.clip(at[:, 1], 0, height - 1).astype(int)
            turn = angle[row, np.clip(at[:, 0], 0, width - 1).astype(int)]
            at = at + sense * np.stack([np.cos(turn), np.sin(turn)], axis=-1) * length[:, None] / 8
            points.append(at)
        halves.append(points)
    return np.stack([*reversed(halves[0][1:]), *halves[1]], axis=1)


def _lit(
    random: np.random.Generator, canvas: Image.Image, relief: Image.Image, size: tuple[int, int]
) -> NDArray[np.float32]:
    """Light the relief of the paint and of the canvas weave from the upper left."""
    colour = np.asarray(canvas.resize(size, Image.Resampling.BOX), float) / 255
    thick = np.asarray(relief.resize(size, Image.Resampling.BOX), float) / 255
    y, x = np.mgrid[0 : size[1], 0 : size[0]]
    thick = thick + 0.05 * (np.sin(x * 2.1) + np.sin(y * 2.1)) + 0.02 * random.standard_normal(thick.shape)
    slope = np.gradient(thick, axis=1) + np.gradient(thick, axis=0)
    light = np.clip(1 + 0.55 * slope, 0.6, 1.5)
    shine = ramp(0.25, 0.7, slope) * 0.14
    return np.asarray(np.clip(colour * light[..., None] + shine[..., None], 0, 1), np.float32)
