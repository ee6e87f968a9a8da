"""How long painting takes, learned from how long it took: what was predicted, times how wrong predictions were lately.

A prediction is the cost model's, for a device whose speed was measured. What it cannot know (pictures loaded, other
work on the machine, how many are painted together) is in the ratio of real to predicted times of like jobs.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

#: As few jobs of a kind say something about the next.
_LEAST_SAMPLES = 5
#: Real over predicted time before anything was measured: at evens, and nine times in ten.
_PRIOR = (1.0, 1.5)


class Sample(NamedTuple):
    """A job that was painted: its preset, the side that it was asked for at, and its times in seconds."""

    preset: str
    long_side: int
    predicted_s: float | None
    took_s: float


class Forecast(NamedTuple):
    """A time in seconds that is enough at evens, and one that is enough nine times in ten."""

    p50_s: float
    p90_s: float

    def __add__(self, other: object) -> Forecast:
        """Add times one after the other; the sum of the long ones is a little too careful."""
        if not isinstance(other, Forecast):
            return NotImplemented
        return Forecast(self.p50_s + other.p50_s, self.p90_s + other.p90_s)

    def times(self, factor: float) -> Forecast:
        """Make both longer."""
        return Forecast(self.p50_s * factor, self.p90_s * factor)


class Experience:
    """What recent jobs took."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        """Learn from samples."""
        self._ratios: dict[tuple[object, ...], list[float]] = defaultdict(list)
        self._times: dict[str, list[float]] = defaultdict(list)
        for sample in samples:
            self._times[sample.preset].append(sample.took_s)
            if sample.predicted_s:
                for kind in _kinds(sample.preset, sample.long_side):
                    self._ratios[kind].append(sample.took_s / sample.predicted_s)

    def forecast(self, preset: str, long_side: int, predicted_s: float | None) -> Forecast | None:
        """Say how long a job takes; without a prediction from others of its preset, or None if there are too few."""
        if predicted_s is None:
            times = self._times[preset]
            return Forecast(*_quantiles(times)) if len(times) >= _LEAST_SAMPLES else None
        for kind in _kinds(preset, long_side):
            if len(self._ratios[kind]) >= _LEAST_SAMPLES:
                even, careful = _quantiles(self._ratios[kind])
                return Forecast(predicted_s * even, predicted_s * careful)
        return Forecast(predicted_s * _PRIOR[0], predicted_s * _PRIOR[1])


def quantile(values: Sequence[float], share: float) -> float:
    """Return the least of `values` that at least that share of them does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _quantiles(values: Sequence[float]) -> tuple[float, float]:
    return quantile(values, 0.5), quantile(values, 0.9)


def _kinds(preset: str, long_side: int) -> list[tuple[object, ...]]:
    """List what a job is like, the most alike first."""
    return [(preset, max(1, long_side).bit_length()), (preset,), ()]
