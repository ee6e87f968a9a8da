"""Measures one case, in a process of its own: `python -m tests.benchmarks.gpu.measure REQUEST`, both ways in JSON.

The request names a case and how many steps a call makes; with `profile`, the operations that take the most time are
listed instead, and `{}` only describes the machine. The answer is the last line printed. The kernels are random: speed
does not depend on them.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import json
import sys
import time
from collections.abc import Iterator
from statistics import median
from typing import Any

import tensorflow as tf

from shared.painting.params import StyleParams
from tests.benchmarks.engine_runs import Fixed, painting, scene, single_scale
from tests.benchmarks.gpu.cases import MODES, Case, Mode
from tests.benchmarks.gpu.top_ops import top_ops
from tests.unit.worker.engine.synthetic import random_kernels
from worker.engine.compute.whole_image import WholeImageEvaluator
from worker.engine.device import hardware, memory
from worker.engine.stylize import stylize
from worker.engine.types import Chunk, Style, Subject
from worker.engine.vgg.network import Network

#: The median of this many calls after the first is within a few percent; fewer do, but three, if they take this long.
_CALLS, _LONGEST_S = 9, 6.0
_PROFILED_CALLS = 2


def main(request: dict[str, Any]) -> dict[str, Any]:
    """Answer a request."""
    if not request:
        return hardware.describe()
    case = Case(**request["case"])
    mode = MODES[case.mode]
    hardware.prepare()
    _set(mode)
    calls = _calls(case, mode, request["steps_per_call"])
    started = time.perf_counter()
    first = next(calls)
    found = {"first_call_s": time.perf_counter() - started, "steps_per_call": len(first.losses)}
    if (first.facts["batch"], first.facts["tile_size"]) != (case.pictures, 0):
        raise MemoryError(
            f"the device painted {first.facts['batch']} at a time in tiles of {first.facts['tile_size']} px"
        )
    if request.get("profile"):
        return {**found, "top_ops": top_ops(lambda: [next(calls) for _ in range(_PROFILED_CALLS)])}
    return {**found, **_timed(calls), "peak_bytes": memory.peak_bytes()}


def _set(mode: Mode) -> None:
    tf.config.experimental.enable_tensor_float_32_execution(mode.tf32)
    if not mode.layout:
        tf.config.optimizer.set_experimental_options({"layout_optimizer": False})
    if mode.xla:
        WholeImageEvaluator.run_steps = _run_steps_by_xla  # type: ignore[method-assign]


def _calls(case: Case, mode: Mode, steps_per_call: int) -> Iterator[Chunk]:
    """Paint at one scale, call by call; each yield is the chunk of the first picture."""
    params = _params(case, mode, steps=steps_per_call * 100)
    height = case.size * 3 // 4
    subjects = [Subject(scene(height, case.size))] * case.pictures
    planner, network = Fixed(batch=case.pictures, tile=0), Network.of("random", random_kernels())
    styles = [Style(painting(height, case.size))]
    for chunks in stylize(subjects, styles, params, network, planner=planner, steps_per_call=steps_per_call):
        if chunks[0].error:
            raise chunks[0].error
        yield chunks[0]


def _params(case: Case, mode: Mode, steps: int) -> StyleParams:
    return single_scale(case.size, steps=steps, optimizer=case.optimizer, precision=mode.precision)


def _timed(calls: Iterator[Chunk]) -> dict[str, Any]:
    started, taken = time.perf_counter(), []
    while len(taken) < _CALLS and (len(taken) < 3 or time.perf_counter() - started < _LONGEST_S):
        taken.append(next(calls).step_ms)
    return {"step_ms": median(taken), "fastest_ms": min(taken), "slowest_ms": max(taken), "calls": len(taken)}


def _run_steps_by_xla(self: Any, state: Any, targets: Any, hparams: Any, *, done: int, before: int, count: int) -> Any:
    """Stand in for `WholeImageEvaluator.run_steps`: every call makes the steps as if they were the first.

    XLA compiles anew for each number that an index depends on: with `done` as it is, for every call. It decides only
    the learning rate, not the time.
    """
    compiled = self.__dict__.setdefault("_by_xla", {})
    if count not in compiled:
        compiled[count] = tf.function(
            lambda state, targets, hparams: self._steps(state, targets, hparams, 0, 0, count),
            jit_compile=True,
            autograph=False,
        )
    state, losses = compiled[count](state, targets, hparams)
    return state, losses.numpy()


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
