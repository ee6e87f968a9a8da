"""How fast a program comes close to a painting: its style distance after so many seconds.

A preset is judged between two calls of the engine, at the size asked for, and its time leaves the judge out. Another
program is run once for each number of steps.
"""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from shared.painting.params import resolve
from tests.judge.distance import Judge
from tests.judge.painting import pixels_of
from tests.judge.pairs import Pair
from tests.judge.rivals import STEPS, Rival, painted_by
from tests.support import trained_weights

#: The style distances of which the table says when they were reached.
DISTANCES = (0.4, 0.3, 0.2, 0.15, 0.1, 0.08, 0.06)
#: Steps after which another program is judged; a run for each.
_STEPS = (25, 100, STEPS)


class Point(NamedTuple):
    """A moment of a run, in seconds, and the distances then."""

    at_s: float
    style: float
    content: float


def of_preset(pair: Pair, preset: str, size: int) -> list[Point]:
    """Paint `pair` by a preset and judge it between calls, at least a tenth of the time so far apart."""
    from worker.engine.stylize import stylize
    from worker.engine.types import Style, Subject

    content, style = pair.opened()
    subjects, styles = [Subject(pixels_of(content))], [Style(pixels_of(style))]
    run = stylize(subjects, styles, resolve(preset, {"size": size}), trained_weights.network())
    width = int(content.width * size / max(content.size))
    judge = Judge(content, style, (width, int(content.height * size / max(content.size))))
    points, took_s, judged_s = list[Point](), 0.0, 0.0
    while True:
        started = time.perf_counter()
        chunks = next(run, None)
        took_s += time.perf_counter() - started
        if chunks is None:
            return points
        if took_s > 1.1 * judged_s or chunks[0].final:
            pixels = np.clip(chunks[0].image(), 0, 1) * 255
            found = judge.distances(Image.fromarray(pixels.round().astype(np.uint8)))
            points.append(Point(took_s, found.style, found.content))
            judged_s = took_s


def of_another(rival: Rival, pair: Pair, size: int, folder: Path) -> list[Point]:
    """Paint `pair` by another program with few steps, more and all; the last is that of the gallery."""
    points = []
    for steps in _STEPS:
        if steps == STEPS:
            found = painted_by(rival, pair, size, folder)
        else:
            with tempfile.TemporaryDirectory() as there:
                found = painted_by(rival, pair, size, Path(there), steps=steps)
        if found:
            points.append(Point(found.took_s, found.distances.style, found.distances.content))
    return points


def reached_s(points: Sequence[Point], distance: float) -> float | None:
    """Return when a run was first at most `distance` from the painting; None if never."""
    return next((point.at_s for point in points if point.style <= distance), None)


def table(curves: dict[str, list[Point]]) -> str:
    """Write in Markdown when each program reached each distance, and where it ended."""
    lines = ["| style distance |" + "".join(f" {name} |" for name in curves), "| --- |" + " --- |" * len(curves)]
    for distance in DISTANCES:
        times = (reached_s(points, distance) for points in curves.values())
        cells = ("never" if at_s is None else f"{at_s:.0f} s" for at_s in times)
        lines.append(f"| {distance:g} |" + "".join(f" {cell} |" for cell in cells))
    ends = (f"{points[-1].at_s:.0f} s, {points[-1].style:.3f}" for points in curves.values())
    return "\n".join([*lines, "| at its end |" + "".join(f" {end} |" for end in ends)]) + "\n"
