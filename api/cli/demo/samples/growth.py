"""The scene's trees, and the transparent layers that they are drawn on.

A layer is several times larger than the picture; shrinking it softens every edge.
"""

import numpy as np
from PIL import Image, ImageDraw

from api.cli.demo.samples.noise import Floats, mix

#: How many times larger than the picture a layer is.
_FINE = 3


def conifer(draw: ImageDraw.ImageDraw, random: np.random.Generator, x: float, base: float, tall: float) -> None:
    """Draw one spruce, in pixels of the layer: whorls of drooping branches with hanging twigs."""
    draw.polygon([(x - tall / 130, base), (x + tall / 130, base), (x, base - tall)], (30, 25, 22, 255))
    whorls = int(np.clip(tall / 2.4, 14, 95))
    twigs = int(np.clip(tall / 60, 3, 13))
    for t in np.linspace(0.004, 0.97, whorls) + random.uniform(-0.003, 0.003, whorls):
        full = tall * (0.008 + 0.19 * abs(t) ** 0.9) * random.uniform(0.75, 1.12)
        for turn in random.uniform(-1, 1, 4 if whorls > 40 else 2):  # where the branch points, seen from the front
            _branch(draw, random, (x, base - tall * (1 - t)), full * turn, full, twigs)


def _branch(
    draw: ImageDraw.ImageDraw,
    random: np.random.Generator,
    root: tuple[float, float],
    reach: float,
    full: float,
    twigs: int,
) -> None:
    """Draw a branch that ends `reach` to the right of its root, light where it is on the sun's side."""
    lit = np.clip(0.35 + 0.45 * reach / full, 0, 1)
    droop = full * random.uniform(0.22, 0.42)
    for share in np.linspace(0.12, 1, twigs):
        start = (root[0] + reach * share, root[1] + droop * share**1.3)
        bright = lit * random.uniform(0.5, 1.15) * (0.45 + 0.55 * share)
        colour = (int(14 + 74 * bright), int(26 + 68 * bright), int(24 + 16 * bright), 255)
        length = full * random.uniform(0.12, 0.30) * (1.15 - 0.6 * share)
        end = (start[0] + np.sign(reach) * length * 0.45, start[1] + length)
        draw.line([start, end], colour, max(1, round(full / 34)))
        draw.line([start, (root[0] + reach * share * 0.8, root[1] + droop * (share * 0.8) ** 1.3)], colour, 2)


def layer(picture: Floats) -> tuple[Image.Image, ImageDraw.ImageDraw, int]:
    """Create a transparent layer; return it, its pen, and its height in pixels."""
    height, width = picture.shape[:2]
    sheet = Image.new("RGBA", (width * _FINE, height * _FINE))
    return sheet, ImageDraw.Draw(sheet), height * _FINE


def composite(picture: Floats, sheet: Image.Image) -> Floats:
    """Shrink a layer to the picture's size and blend it over the picture."""
    height, width = picture.shape[:2]
    planes = np.asarray(sheet.resize((width, height), Image.Resampling.BOX), float) / 255
    return mix(picture, planes[..., :3], planes[..., 3])
