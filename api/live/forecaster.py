"""When a job will start and end: the median, and the 90th percentile.

How long recent jobs took is read once every few seconds for all requests of this process.
"""

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy.orm import Session

from shared.db import workers
from shared.db.base import Database
from shared.db.jobs import forecasts, queries
from shared.db.jobs.queries import ShownJob
from shared.painting.forecasts import DurationModel, Forecast, Sample

#: Recent jobs to learn from, and how long what was learned is used, in seconds.
_SAMPLES, _FRESH_S = 500, 5.0


class QueueForecast(NamedTuple):
    """A waiting job's position in line, from 1, and when it starts and ends; None where that cannot be predicted."""

    position: int
    starts: Forecast | None
    ends: Forecast | None


class Forecaster:
    """Forecasts for one process; any number of threads may ask."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        """Prepare to forecast; nothing is read yet."""
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        self._learned_at = float("-inf")
        self._durations = DurationModel(())

    def forecast_queued(self, session: Session, job: ShownJob) -> QueueForecast:
        """Forecast a job that waits, or is about to be queued."""
        durations = self._learned(lambda: forecasts.samples(session, _SAMPLES))
        ahead = forecasts.count_ahead(session, job.owner, job.priority, job.sort_id or job.id, job.batch_id)
        runs = _run_time(durations, job, job.predicted_s)
        if ahead.seconds is None and ahead.jobs:
            return QueueForecast(ahead.jobs + 1, None, None)
        accepting = max(1, workers.count_accepting(session))
        busy_s = queries.busy_s(session)
        each = _run_time(durations, job, (ahead.seconds or 0.0) / ahead.jobs) if ahead.jobs else None
        wait = each.times(ahead.jobs / accepting) if each else Forecast(0.0, 0.0)
        left_s = sum(busy_s) / accepting if len(busy_s) >= accepting or ahead.jobs else 0.0
        starts = wait + Forecast(left_s, left_s)
        return QueueForecast(ahead.jobs + 1, starts, starts + runs if runs else None)

    def forecast_running(self, job: ShownJob, eta_s: float) -> Forecast:
        """Forecast how long a running job still takes, given its engine's own estimate, `eta_s`."""
        whole = _run_time(self._learned(self._samples), job, job.predicted_s)
        spread = whole.p90_s / whole.p50_s if whole and whole.p50_s else 1.5
        return Forecast(eta_s, eta_s * spread)

    def _samples(self) -> list[Sample]:
        with self._database.reading() as session:
            return forecasts.samples(session, _SAMPLES)

    def _learned(self, samples: Callable[[], list[Sample]]) -> DurationModel:
        with self._lock:
            if self._clock() - self._learned_at < _FRESH_S:
                return self._durations
            self._learned_at = self._clock()
        self._durations = DurationModel(samples())
        return self._durations


def _run_time(durations: DurationModel, job: ShownJob, predicted_s: float | None) -> Forecast | None:
    """Forecast how long painting takes for a job like `job` whose cost model predicted `predicted_s`."""
    return durations.forecast(job.preset, int(job.params.get("size", 0)), predicted_s)
