"""The losses of every step as curves on a logarithmic scale, drawn with Pillow so that no plotting library is needed.

Lengths are in pixels. Values without a logarithm (zero, not finite) leave a gap; if none remain, the chart says so.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

INK, QUIET, _GRID = (32, 33, 38), (116, 118, 126), (228, 227, 222)
_LINES = {"total": (32, 33, 38), "content": (29, 112, 184), "style": (208, 84, 40), "tv": (90, 150, 70)}
_SPARE = (130, 90, 160)
_FINE = 2  # which softens the edges of the curves


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return Pillow's own font at a height in pixels."""
    return ImageFont.load_default(size)


class _Axes(NamedTuple):
    """The chart's box on the sheet, and the values at its edges; `low` and `high` are powers of ten."""

    box: tuple[int, int, int, int]
    steps: int
    low: float
    high: float

    def x(self, step: int) -> float:
        """Return the position of a step, counted from 1."""
        left, _, right, _ = self.box
        return left + (right - left) * (step - 1) / max(self.steps - 1, 1)

    def y(self, value: float) -> float:
        """Return the position of a loss."""
        _, top, _, bottom = self.box
        return bottom - (bottom - top) * (math.log10(value) - self.low) / (self.high - self.low)


def draw_losses(sheet: Image.Image, box: tuple[int, int, int, int], losses: Mapping[str, Sequence[float]]) -> None:
    """Draw one curve for each named loss, with one value per step, into a box of the sheet."""
    points = {name: [(n, v) for n, v in enumerate(values, 1) if 0 < v < math.inf] for name, values in losses.items()}
    points = {name: shown for name, shown in points.items() if shown}
    draw = ImageDraw.Draw(sheet)
    if not points:
        draw.text((box[0], box[1]), "No losses were recorded.", QUIET, font(16))
        return
    values = [value for shown in points.values() for _, value in shown]
    low, high = math.log10(min(values)), math.log10(max(values))
    pad = max(0.06 * (high - low), 0.04)
    axes = _Axes(box, max(n for shown in points.values() for n, _ in shown), low - pad, high + pad)
    _scales(draw, axes)
    _curves(sheet, axes, points)
    _legend(draw, box, list(points))


def _scales(draw: ImageDraw.ImageDraw, axes: _Axes) -> None:
    left, top, right, bottom = axes.box
    for value in _ticks(axes.low, axes.high):
        y = axes.y(value)
        draw.line([(left, y), (right, y)], _GRID, 1)
        draw.text((left - 12, y), _number_text(value), QUIET, font(14), "rm")
    draw.line([(left, bottom), (right, bottom)], QUIET, 1)
    every = _round_number(max(axes.steps / 8, 1))
    for step in sorted({1, axes.steps, *range(every, axes.steps - every // 2, every)}):
        draw.line([(axes.x(step), bottom), (axes.x(step), bottom + 5)], QUIET, 1)
        draw.text((axes.x(step), bottom + 10), str(step), QUIET, font(14), "ma")
    draw.text(((left + right) / 2, bottom + 34), "step", QUIET, font(14), "ma")
    draw.text((left - 56, top - 40), "Loss", INK, font(18))
    draw.text((left - 6, top - 37), "logarithmic", QUIET, font(14))


def _ticks(low: float, high: float) -> list[float]:
    """Choose about four to eight round values between two powers of ten."""
    for digits in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        decades = range(math.floor(low), math.ceil(high) + 1)
        ticks = [d * 10.0**n for n in decades for d in digits if low <= math.log10(d) + n <= high]
        if len(ticks) >= 4:
            break
    if len(ticks) < 2:
        ticks = [10 ** (low + (high - low) * share) for share in (0.1, 0.5, 0.9)]
    return ticks[:: math.ceil(len(ticks) / 8)]


def _number_text(value: float) -> str:
    if 100 <= value < 1e5:
        return f"{value:,.0f}"
    return f"{value:.3g}".replace("e+", "e").replace("e0", "e").replace("e-0", "e-")


def _round_number(at_least: float) -> int:
    """Return the smallest of 1, 2, 5, 10, 20, 50, … that is large enough."""
    power = 10 ** math.floor(math.log10(at_least))
    return int(next(d * power for d in (1, 2, 5, 10) if d * power >= at_least))


def _curves(sheet: Image.Image, axes: _Axes, points: Mapping[str, list[tuple[int, float]]]) -> None:
    left, top, right, bottom = axes.box
    corner, size = (left - 8, top - 8), (right - left + 16, bottom - top + 16)
    for name, shown in reversed(list(points.items())):  # the first, the total, is drawn on top
        mask = Image.new("L", (size[0] * _FINE, size[1] * _FINE))
        draw = ImageDraw.Draw(mask)
        places = [((axes.x(n) - corner[0]) * _FINE, (axes.y(v) - corner[1]) * _FINE) for n, v in shown]
        for (n, _), (after, _), start, end in zip(shown, shown[1:], places, places[1:], strict=False):
            if after == n + 1:  # a gap stays a gap
                draw.line([start, end], 255, 3 * _FINE)
        for x, y in places if len(places) <= 40 else []:
            draw.ellipse([x - 3 * _FINE, y - 3 * _FINE, x + 3 * _FINE, y + 3 * _FINE], 255)
        sheet.paste(_LINES.get(name, _SPARE), corner, mask.resize(size, Image.Resampling.BOX))


def _legend(draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], names: Sequence[str]) -> None:
    right: float = box[2]
    for name in reversed(names):
        right -= draw.textlength(name, font(15))
        draw.text((right, box[1] - 31), name, INK, font(15), "lm")
        draw.line([(right - 32, box[1] - 31), (right - 8, box[1] - 31)], _LINES.get(name, _SPARE), 4)
        right -= 56
