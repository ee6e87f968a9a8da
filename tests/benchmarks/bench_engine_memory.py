"""The engine's memory: a huge picture within a limit, predictions that hold, no growth with the number of shapes."""

import json
import sys
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from shared.painting.costs import peak_bytes
from shared.painting.params import resolve
from tests.benchmarks.engine_runs import chunks_of, held_bytes, in_a_process, painting, scene
from tests.benchmarks.registry import bench
from tests.support import trained_weights
from worker.engine.device import process_memory

#: Sizes, batches and optimizers whose peak is predicted: long side, pictures, preset and changes.
_RUNS: list[tuple[int, int, str, dict[str, Any]]] = [
    (192, 1, "balanced", {}),
    (384, 1, "balanced", {}),
    (768, 1, "balanced", {}),
    (1280, 1, "balanced", {}),
    (512, 1, "balanced", {"optimizer": "adam", "precision": "float32"}),
    (128, 8, "fast", {}),
    (256, 4, "fast", {"optimizer": "adam"}),
    (512, 1, "classic", {}),
    (900, 1, "classic", {}),
    (1024, 1, "balanced", {"tile_size": 384}),
]


@bench("engine: peak of 2 Adam steps at 4096x3072", "GB", 5.0)
def peak_of_a_huge_picture() -> float:
    """Paint it from the command line, with a limit of 4.8 GB, in a process of its own; its largest resident memory."""
    with tempfile.TemporaryDirectory() as folder:
        for name, picture in (("content", scene(768, 1024)), ("style", painting(400, 512))):
            Image.fromarray(np.uint8(picture * 255)).save(f"{folder}/{name}.png")
        Image.open(f"{folder}/content.png").resize((4096, 3072)).save(f"{folder}/content.png")
        child = in_a_process(
            *("-m", "worker.engine", f"{folder}/content.png", f"{folder}/style.png", "-o", f"{folder}/out.jpg"),
            *("--optimizer", "adam", "--size", "0", "--start-size", "0", "--steps", "2", "--memory-limit", "4.8"),
            *("--vgg19", trained_weights.NAME, "--weights-dir", str(trained_weights.weights_dir())),
        )
        if Image.open(f"{folder}/out.jpg").size != (4096, 3072):
            raise AssertionError("the picture has another size")
    return child.peak_bytes / 1e9


@bench("engine: predicted peak off the measured one, worst of ten", "share", 0.25)
def predicted_peak_off_the_measured_one() -> float:
    """Compare both ways."""
    return max(abs(predicted / measured - 1) for predicted, measured in _peaks())


@bench("engine: predicted peak under the measured one, worst of ten", "share", 0.10)
def predicted_peak_under_the_measured_one() -> float:
    """Compare where more was taken than predicted."""
    return max(1 - predicted / measured for predicted, measured in _peaks())


@bench("engine: memory grown from the 5th to the 50th shape", "MB", 150.0)
def growth_with_the_number_of_shapes() -> float:
    """Paint pictures of that many shapes in this process, which returns free memory after each, as a worker does."""
    held = _held_after_shapes()
    return (held[50] - held[5]) / 1e6


@bench("engine: memory grown from the 50th to the 200th shape", "MB", 30.0)
def growth_with_many_shapes() -> float:
    """The same, when most that can be kept of shapes should be."""
    held = _held_after_shapes()
    return (held[200] - held[50]) / 1e6


@lru_cache(maxsize=1)
def _held_after_shapes() -> dict[int, int]:
    """Paint 200 pictures of 200 shapes, the largest first; return what is held after some numbers of them."""
    rng, held = np.random.default_rng(0), {}
    trained_weights.network()
    for number in range(1, 201):
        width, height = (320, 256) if number == 1 else rng.integers(96, 256, 2)
        *_, _last = chunks_of(
            scene(int(height), int(width)), resolve("fast", {"size": int(max(width, height)), "steps": 2})
        )
        process_memory.trim()
        if number in {5, 50, 200}:
            held[number] = held_bytes()
    return held


@lru_cache(maxsize=1)
def _peaks() -> list[tuple[int, int]]:
    """Predict and measure each run in a process of its own; each learns from those before it."""
    with tempfile.TemporaryDirectory() as folder:
        notebook = f"{folder}/profile.json"
        children = [in_a_process("-m", __name__, notebook, str(number)) for number in range(len(_RUNS))]
    found = [(int(child.printed), child.peak_bytes) for child in children]
    for run, (predicted, measured) in zip(_RUNS, found, strict=True):
        print(f"  {run}: predicted {predicted / 1e6:.0f} MB, measured {measured / 1e6:.0f} MB", file=sys.stderr)
    return found


def _predict_and_paint(notebook: Path, number: int) -> int:
    """Paint one of the runs, two steps of it; return the peak that was predicted."""
    from worker.engine.device.planner import Planner
    from worker.engine.stylize import stylize
    from worker.engine.types import Style, Subject

    side, count, preset, changes = _RUNS[number]
    params = resolve(preset, {"size": side, "start_size": 0, "steps": 2, **changes})
    size = (side * 3 // 4, side)
    subjects, style = [Subject(scene(*size)) for _ in range(count)], Style(painting(*size))
    weights, planner = trained_weights.network(), Planner(notebook)
    plan = planner.plan(params, size, count)
    predicted = peak_bytes(params, size, planner.capacity, batch=plan.batch, tile=plan.tile)
    for chunks in stylize(subjects, [style], params, weights, planner=planner):
        for chunk in chunks.values():
            chunk.image()
    return predicted


if __name__ == "__main__":
    print(json.dumps(_predict_and_paint(Path(sys.argv[1]), int(sys.argv[2]))))
