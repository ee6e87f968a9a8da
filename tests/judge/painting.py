"""Paints a pair as a job would, and tells how long that took and what the judge says."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from shared.painting.params import resolve
from tests.judge.distance import Distances, Judge
from tests.judge.pairs import Pair
from tests.support import trained_weights


class Painted(NamedTuple):
    """A picture, the time that it took in seconds, and its distances."""

    picture: Image.Image
    took_s: float
    distances: Distances


def painted(pair: Pair, preset: str, *, judged_px: int = 0, **changes: Any) -> Painted:
    """Paint `pair` by `preset` with `changes`; judge the picture at its own size, or with its long side `judged_px`."""
    from worker.engine.stylize import stylize
    from worker.engine.types import Style, Subject

    content, style = pair.opened()
    subjects, styles = [Subject(pixels_of(content))], [Style(pixels_of(style))]
    started = time.perf_counter()
    *_, last = stylize(subjects, styles, resolve(preset, changes), trained_weights.network())
    pixels = np.clip(last[0].image(), 0, 1)
    took_s = time.perf_counter() - started
    picture = Image.fromarray((pixels * 255).round().astype(np.uint8))
    grown = judged_px / max(picture.size) if judged_px else 1
    judge = Judge(content, style, (round(picture.width * grown), round(picture.height * grown)))
    return Painted(picture, took_s, judge.distances(picture))


def photograph(pair: Pair, size: int) -> Distances:
    """Judge the photograph itself: what it leaves of its style distance is what was not painted."""
    content, style = pair.opened()
    grown = size / max(content.size)
    return Judge(content, style, (int(content.width * grown), int(content.height * grown))).distances(content)


class Off(NamedTuple):
    """The largest relative difference of a loss, the largest of a pixel's value, and the share within 1/255."""

    losses: float
    pixels: float
    within: float


def classic_off_the_published_loop(pair: Pair) -> tuple[Off, Off]:
    """Compare 15 steps at 512 px with the published loop, compiled; and that with itself, not compiled.

    At trained weights the recipe amplifies rounding, so the second tells how near any program can come.
    """
    import tensorflow as tf

    from worker.engine.stylize import stylize
    from worker.engine.types import Style, Subject

    content, style = (pixels_of(picture) for picture in pair.opened())
    params = resolve("classic")
    compiled, plain = (_published(content, style, params.steps, wrap) for wrap in (tf.function, lambda step: step))
    chunks = [chunk[0] for chunk in stylize([Subject(content)], [Style(style)], params, trained_weights.network())]
    ours = np.array([step[:3] for chunk in chunks for step in chunk.losses]), chunks[-1].image()
    return _off(ours, compiled), _off(plain, compiled)


def _published(content: np.ndarray, style: np.ndarray, steps: int, wrap: Any) -> tuple[np.ndarray, np.ndarray]:
    """Paint by the published loop: the losses (total, content, style) of each step, and the picture."""
    from tests.unit.worker.engine.keras_reference import PlainLoop

    loop = PlainLoop(content, style, trained_weights.network(), long_side=512)
    step = wrap(loop.step)
    return np.array([[float(loss) for loss in step()] for _ in range(steps)]), loop.image[0].numpy()


def _off(found: tuple[np.ndarray, np.ndarray], wanted: tuple[np.ndarray, np.ndarray]) -> Off:
    losses = np.abs(found[0] - wanted[0]) / np.maximum(wanted[0], 1e-6)
    pixels = np.abs(found[1] - wanted[1])
    return Off(float(losses.max()), float(pixels.max()), float((pixels <= 1 / 255).mean()))


def keep(picture: Image.Image, path: Path) -> None:
    """Write a picture to be looked at."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


def pixels_of(picture: Image.Image) -> np.ndarray:
    """Return a picture as the engine takes it: `[height, width, 3]`, float32 in 0 to 1."""
    return np.asarray(picture, np.float32) / 255
