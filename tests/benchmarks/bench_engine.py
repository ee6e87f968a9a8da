"""The engine's speed: a `classic` step against the plain loop, and the patch weights from nothing."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from shared.params import resolve
from tests.benchmarks.registry import bench

_ROUNDS = 15


@bench("engine: classic step, 512x384, against the plain loop", "ratio", 1.03)
def classic_step_against_the_plain_loop() -> float:
    """Time both in turns, so that whatever else the machine does falls on both; the median of the ratios."""
    ours, plain = _our_step(), _plain_step()
    times: dict[Callable[[], object], list[float]] = {ours: [], plain: []}
    for _ in range(_ROUNDS + 1):
        for step, taken in times.items():
            started = time.perf_counter()
            step()
            taken.append(time.perf_counter() - started)
    # the first round compiles
    return statistics.median(a / b for a, b in zip(times[ours][1:], times[plain][1:], strict=True))


@bench("engine: patch weights from nothing", "s", 60.0)
def patch_weights_from_nothing() -> float:
    """Build them twice, in two empty caches; the time is the slower one's, and the hashes must agree."""
    from worker.engine import weights

    times, hashes = [], set()
    for _ in range(2):
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            hashes.add(weights.load("patch", Path(folder)).sha256)
            times.append(time.perf_counter() - started)
    if len(hashes) != 1:
        raise AssertionError(f"two builds differ: {sorted(hashes)}")
    return max(times)


def _our_step() -> Callable[[], object]:
    from tests.unit.engine.conftest import random_kernels, smooth_picture
    from worker.engine.network import Network
    from worker.engine.steps import Style
    from worker.engine.stylize import stylize

    chunks = stylize(
        smooth_picture(384, 512, seed=1),
        [Style(smooth_picture(384, 512, seed=2))],
        resolve("classic", {"steps": _ROUNDS + 1}),
        Network.of("random", random_kernels()),
        steps_per_call=1,
    )
    return lambda: next(chunks)


def _plain_step() -> Callable[[], object]:
    import tensorflow as tf

    from tests.unit.engine.conftest import random_kernels, smooth_picture
    from tests.unit.engine.plain_loop import PlainLoop
    from worker.engine.network import Network

    loop = PlainLoop(
        smooth_picture(384, 512, seed=1), smooth_picture(384, 512, seed=2), Network.of("random", random_kernels()), 512
    )
    compiled = tf.function(loop.step)
    return lambda: np.array(compiled())
