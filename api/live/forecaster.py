"""When a job starts and ends, as far as anybody can say: at evens and nine times in ten.

What recent jobs took is read once in some seconds for all requests of this process.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy.orm import Session

from shared.db import workers
from shared.db.base import Database
from shared.db.jobs import forecasts, queries
from shared.db.jobs.queries import Shown
from shared.painting.forecasts import DurationModel, Forecast, Sample

#: Jobs learned from, and how long that holds, in seconds.
_SAMPLES, _FRESH_S = 500, 5.0


class Outlook(NamedTuple):
    """A waiting job's place in line, counted from 1, and when it starts and ends; None where nobody can say."""

    position: int
    starts: Forecast | None
    ends: Forecast | None


class Forecaster:
    """Forecasts for one process; any number of threads may ask."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        """Know nothing yet."""
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        self._learned_at = float("-inf")
        self._experience = DurationModel(())

    def outlook(self, session: Session, job: Shown) -> Outlook:
        """Say when a job that waits, or is about to, starts and ends."""
        experience = self._learned(lambda: forecasts.samples(session, _SAMPLES))
        ahead = forecasts.count_ahead(session, job.owner, job.priority, job.sort_id or job.id, job.batch_id)
        takes = _takes(experience, job, job.predicted_s)
        if ahead.seconds is None and ahead.jobs:
            return Outlook(ahead.jobs + 1, None, None)
        willing = max(1, workers.count_accepting(session))
        busy_s = queries.busy_s(session)
        like = _takes(experience, job, (ahead.seconds or 0.0) / ahead.jobs) if ahead.jobs else None
        wait = like.times(ahead.jobs / willing) if like else Forecast(0.0, 0.0)
        left_s = sum(busy_s) / willing if len(busy_s) >= willing or ahead.jobs else 0.0
        starts = wait + Forecast(left_s, left_s)
        return Outlook(ahead.jobs + 1, starts, starts + takes if takes else None)

    def left(self, job: Shown, eta_s: float) -> Forecast:
        """Say how long a running job still takes, when its engine says `eta_s`."""
        whole = _takes(self._learned(self._samples), job, job.predicted_s)
        spread = whole.p90_s / whole.p50_s if whole and whole.p50_s else 1.5
        return Forecast(eta_s, eta_s * spread)

    def _samples(self) -> list[Sample]:
        with self._database.reading() as session:
            return forecasts.samples(session, _SAMPLES)

    def _learned(self, samples: Callable[[], list[Sample]]) -> DurationModel:
        with self._lock:
            if self._clock() - self._learned_at < _FRESH_S:
                return self._experience
            self._learned_at = self._clock()
        self._experience = DurationModel(samples())
        return self._experience


def _takes(experience: DurationModel, job: Shown, predicted_s: float | None) -> Forecast | None:
    """Say how long painting a job takes, or one like it, that was predicted to take that long."""
    return experience.forecast(job.preset, int(job.params.get("size", 0)), predicted_s)
