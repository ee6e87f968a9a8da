"""How long a job will take: the cost model's prediction, corrected by how long similar jobs really took.

The cost model knows the device's measured speed. What it cannot know (loading images, other work on the machine,
jobs painted together) is in the ratio of actual to predicted time of recent jobs.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

#: Fewer jobs of a kind say too little about the next.
_MIN_SAMPLES = 5
#: Median and 90th percentile of actual over predicted time before anything was measured.
_PRIOR = (1.0, 1.5)


class Sample(NamedTuple):
    """A job that succeeded. `long_side` is the size asked for, in pixels."""

    preset: str
    long_side: int
    predicted_s: float | None
    took_s: float


class Forecast(NamedTuple):
    """The median and the 90th percentile of a duration, in seconds."""

    p50_s: float
    p90_s: float

    def __add__(self, other: object) -> Forecast:
        """Forecast one duration after another. The sum of 90th percentiles overestimates a little."""
        if not isinstance(other, Forecast):
            return NotImplemented
        return Forecast(self.p50_s + other.p50_s, self.p90_s + other.p90_s)

    def times(self, factor: float) -> Forecast:
        """Multiply both by `factor`."""
        return Forecast(self.p50_s * factor, self.p90_s * factor)


class DurationModel:
    """Forecasts the duration of jobs from samples."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._ratios: dict[tuple[object, ...], list[float]] = defaultdict(list)
        self._times: dict[str, list[float]] = defaultdict(list)
        for sample in samples:
            self._times[sample.preset].append(sample.took_s)
            if sample.predicted_s:
                for kind in _kinds(sample.preset, sample.long_side):
                    self._ratios[kind].append(sample.took_s / sample.predicted_s)

    def forecast(self, preset: str, long_side: int, predicted_s: float | None) -> Forecast | None:
        """Forecast a job's duration; without a prediction, from jobs of its preset, or None if those are too few."""
        if predicted_s is None:
            times = self._times[preset]
            return Forecast(*_quantiles(times)) if len(times) >= _MIN_SAMPLES else None
        for kind in _kinds(preset, long_side):
            if len(self._ratios[kind]) >= _MIN_SAMPLES:
                p50, p90 = _quantiles(self._ratios[kind])
                return Forecast(predicted_s * p50, predicted_s * p90)
        return Forecast(predicted_s * _PRIOR[0], predicted_s * _PRIOR[1])


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest of `values` that at least the fraction `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _quantiles(values: Sequence[float]) -> tuple[float, float]:
    return quantile(values, 0.5), quantile(values, 0.9)


def _kinds(preset: str, long_side: int) -> list[tuple[object, ...]]:
    """Return the kinds that a job belongs to, most specific first."""
    return [(preset, max(1, long_side).bit_length()), (preset,), ()]
