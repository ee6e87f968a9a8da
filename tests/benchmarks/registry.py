"""Registers benchmarks, runs them and judges the values.

Invariant: a benchmark that fails is a miss with its reason, never a silence.
"""

import importlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple


class Result(NamedTuple):
    """One value measured; `reason` says what broke where there is no value."""

    name: str
    value: float
    unit: str
    bound: float
    reason: str = ""

    @property
    def ok(self) -> bool:
        """Whether the value is within its bound; never so without a value."""
        return self.value <= self.bound

    def line(self) -> str:
        """Show it in one line."""
        verdict = "ok" if self.ok else "MISS"
        return f"{self.name:<48} {self.value:>10.3f} {self.unit:<6} {self.bound:>8g} {verdict} {self.reason}".rstrip()


class Benchmark(NamedTuple):
    """A function that measures, and what its value must not exceed."""

    name: str
    unit: str
    bound: float
    measure: Callable[[], float]

    def run(self) -> Result:
        """Measure once."""
        try:
            return Result(self.name, float(self.measure()), self.unit, self.bound)
        except Exception as error:
            return Result(self.name, math.nan, self.unit, self.bound, f"{type(error).__name__}: {error}")


_BENCHMARKS: list[Benchmark] = []


def bench(name: str, unit: str, bound: float) -> Callable[[Callable[[], float]], Callable[[], float]]:
    """Register the function below as the benchmark `name`, whose value in `unit` must not exceed `bound`."""

    def register(measure: Callable[[], float]) -> Callable[[], float]:
        _BENCHMARKS.append(Benchmark(name, unit, bound, measure))
        return measure

    return register


def run(chosen: str = "") -> Iterator[Result]:
    """Run the benchmarks whose name contains `chosen`, one at a time, in the order of their files."""
    for path in sorted(Path(__file__).parent.glob("bench_*.py")):
        importlib.import_module(f"{__package__}.{path.stem}")
    for benchmark in _BENCHMARKS:
        if chosen in benchmark.name:
            yield benchmark.run()
