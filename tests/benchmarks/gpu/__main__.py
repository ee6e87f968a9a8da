"""Measure the engine on this machine's GPU within a budget of minutes; print a line each, write all to a JSON file.

Exit code 0 if something was measured, 1 if nothing was, 3 if TensorFlow sees no GPU.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tests.benchmarks.gpu import neighbour
from tests.benchmarks.gpu.budget import Budget, measured
from tests.benchmarks.gpu.cases import Case, cases
from tests.judge.rivals import program

#: Of a case: what a GPU needs for the slowest, compiling included; and of the profile, which takes long to write.
_CASE_S, _PROFILE_S, _NEIGHBOUR_S = 75.0, 90.0, 60.0
#: On a CPU nothing is limited but the whole: other processes may have it meanwhile.
_ON_CPU_S = 3600.0
_PROFILED = Case(512, "bfloat16", 1, "lbfgs")
#: The profile and neural-style-pt come after this many cases: one size in every mode.
_FIRST_CASES = 6
_NO_GPU = 3


def main() -> int:
    """Measure what the command line asks for."""
    options = _options()
    budget = Budget(60 * options.minutes)
    machine = measured({}, _ON_CPU_S)
    if machine["kind"] != "gpu" and not options.cpu:
        print("TensorFlow sees no NVIDIA GPU on this machine. --cpu tries this program without one.", file=sys.stderr)
        return _NO_GPU
    report: dict[str, Any] = {"date": time.strftime("%Y-%m-%d"), "machine": machine, "budget_s": 60 * options.minutes}
    report["results"] = []
    for result in _results(options, budget):
        print(_line(result), flush=True)
        report["results"].append(result)
        report["spent_s"] = round(budget.spent_s, 1)
        # after each, so that whoever ends this early has what was measured until then
        options.output.write_text(json.dumps(report, indent=2) + "\n")
    return 0 if any("step_ms" in result for result in report["results"]) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.gpu", description=__doc__)
    parser.add_argument("--minutes", type=float, default=8.0, help="time to spend in all; default: 8")
    parser.add_argument("--cpu", action="store_true", help="a few steps of 48 px on the CPU, to try this program")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/gpu.json"), help="default: build/gpu.json")
    parser.add_argument("--neural-style-pt", type=Path, metavar="FOLDER", help="measure a checkout of it too")
    parser.add_argument(
        "--torch", type=program, metavar="PYTHON", help="a Python with torch and torchvision, to run it"
    )
    options = parser.parse_args()
    if options.neural_style_pt and not options.torch:
        parser.error("--neural-style-pt needs --torch")
    if not options.minutes > 0:
        parser.error("--minutes must be above 0")
    if options.output.is_dir():
        parser.error(f"--output: {options.output} is a folder")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    return options


def _results(options: argparse.Namespace, budget: Budget) -> Iterator[dict[str, Any]]:
    """Measure case by case; the profile and the neighbour come between the first cases and the rest."""
    for number, case in enumerate(cases(tiny=options.cpu), start=1):
        yield _result(case, budget, tiny=options.cpu)
        if number == (1 if options.cpu else _FIRST_CASES):
            profiled = case if options.cpu else _PROFILED
            yield {"profile": True, **_result(profiled, budget, tiny=options.cpu, profile=True)}
            yield from _neighbours(options, budget)


def _result(case: Case, budget: Budget, *, tiny: bool, profile: bool = False) -> dict[str, Any]:
    request = {"case": case._asdict(), "steps_per_call": 2 if tiny else 10, "profile": profile}
    limit_s = _ON_CPU_S if tiny else _PROFILE_S if profile else _CASE_S
    return {**case._asdict(), **budget.spend(partial(measured, request), limit_s)}


def _neighbours(options: argparse.Namespace, budget: Budget) -> Iterator[dict[str, Any]]:
    if options.neural_style_pt:
        for size in (48,) if options.cpu else (512, 1024):
            device, limit_s = ("c", _ON_CPU_S) if options.cpu else ("0", _NEIGHBOUR_S)
            run = partial(neighbour.measured, options.neural_style_pt.resolve(), options.torch, size, device)
            yield {**Case(size, "neural-style-pt", 1, "lbfgs")._asdict(), **budget.spend(run, limit_s)}


def _line(result: dict[str, Any]) -> str:
    case = Case(*(result[field] for field in Case._fields)).line()
    if "top_ops" in result:
        ops = [
            f"  {op['ms']:9.1f} ms {op['share']:6.1%} {op['calls']:>6} × {op['op'][:80]}" for op in result["top_ops"]
        ]
        return "\n".join([f"{case} most time:", *ops[:10]])
    if "step_ms" not in result:
        reason = next(f"{key}: {result[key]}" for key in ("skipped", "failed") if key in result)
        return f"{case} {reason}"
    first = f"  first call {result['first_call_s']:.1f} s" if "first_call_s" in result else ""
    return f"{case} {result['step_ms']:9.2f} ms a step  peak {result['peak_bytes'] / 1e9:6.2f} GB{first}"


if __name__ == "__main__":
    sys.exit(main())
