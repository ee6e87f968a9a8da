"""What the engine's benchmarks share: the weights, two pictures of any size, runs timed and judged."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache, lru_cache
from statistics import median
from typing import Any, NamedTuple

from shared.painting.params import StyleParams, resolve
from tests.support.trained_weights import network
from worker.engine.device.planner import Plan, Planner
from worker.engine.types import Chunk, Picture, Style, Subject


@lru_cache(maxsize=8)
def scene(height: int, width: int) -> Picture:
    """Give the demo's photograph at a size."""
    return _sized(_drawn("scene"), height, width)


@lru_cache(maxsize=8)
def painting(height: int, width: int) -> Picture:
    """Give the demo's painting at a size."""
    return _sized(_drawn("painting"), height, width)


@cache
def _drawn(name: str) -> Picture:
    """Draw a picture of the demo, which takes seconds."""
    from api.cli.demo import samples

    drawn: Picture = getattr(samples, name)()
    return drawn


def _sized(picture: Picture, height: int, width: int) -> Picture:
    from worker.engine.pictures.resizing import resize

    found: Picture = resize(picture, (height, width), antialias=True)[0].numpy()
    return found


class Fixed(Planner):
    """A planner with a plan of its own."""

    def __init__(self, **plan: int) -> None:
        super().__init__()
        self._own = plan

    def plan(self, params: StyleParams, size: tuple[int, int], count: int) -> Plan:
        """Change what is planned."""
        return super().plan(params, size, count)._replace(**self._own)


def single_scale(size: int, **changes: Any) -> StyleParams:
    """Give `balanced` at one scale."""
    return resolve("balanced", {"size": size, "start_size": 0, **changes})


def chunks_of(content: Picture, params: StyleParams, **options: Any) -> Any:
    """Paint one picture; yield its chunks."""
    from worker.engine.stylize import stylize

    style = Style(painting(400, 512), key="bench")
    for found in stylize([Subject(content)], [style], params, network(), **options):
        yield found[0]


def loss_of(picture: Picture, content: Picture, params: StyleParams) -> float:
    """Evaluate a picture in float32, at its own size, by the losses of `params`."""
    from worker.engine.stylize import stylize

    exact = params.model_copy(
        update={"precision": "float32", "start_size": 0, "steps": 1, "size": max(picture.shape), "init": "content"}
    )
    style = Style(painting(400, 512), key="bench")
    first: Chunk = next(stylize([Subject(content, init=picture)], [style], exact, network()))[0]
    return first.losses[0].total


def ratio_of_steps(ours: Callable[[], object], theirs: Callable[[], object], rounds: int) -> float:
    """Time both in turns, so that whatever else the machine does falls on both; the median of the ratios."""
    ratios = []
    for round_number in range(rounds + 1):
        taken = []
        for step in (ours, theirs):
            started = time.perf_counter()
            step()
            taken.append(time.perf_counter() - started)
        # the first round compiles
        if round_number:
            ratios.append(taken[0] / taken[1])
    return median(ratios)


class Child(NamedTuple):
    """What a process printed last, and the most bytes that it held."""

    printed: str
    peak_bytes: int


def in_a_process(*command: str, timeout_s: float = 1800.0) -> Child:
    """Run Python with `command`; raise if it fails. Children before it must have held less."""
    script = (
        "import resource, subprocess, sys\n"
        "done = subprocess.run([sys.executable, *sys.argv[1:]], stdout=subprocess.PIPE, text=True)\n"
        "print(done.stdout.strip().splitlines()[-1] if done.stdout.strip() else '')\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)\n"
        "sys.exit(done.returncode)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *command], capture_output=True, text=True, timeout=timeout_s, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-500:])
    printed, peak = done.stdout.splitlines()
    return Child(printed, int(peak))


def first_steps(count: int, content: Picture, params: StyleParams, **options: Any) -> Callable[[], object]:
    """Give a function that makes one step of a run each time, `count` at most."""
    chunks = chunks_of(content, params.model_copy(update={"steps": count}), steps_per_call=1, **options)
    return lambda: next(chunks)


def held_bytes() -> int:
    """Tell what this process holds."""
    from worker.engine.device import memory

    return memory.held_bytes()
