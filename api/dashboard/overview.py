"""The state of the whole system for the page Now, read at most every half second for all browsers together.

Limits: at most `MAX_SHOWN` running jobs are shown, and queued jobs are counted up to `_MAX_COUNTED`; beyond that the
last sample, at most 20 seconds old, stands in, so the cost does not grow with the queue. Without Redis only the
live previews and loss curves are missing, and the page says so.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from redis import RedisError
from sqlalchemy.orm import Session

from api.schemas.admin import WorkerView
from api.serializers.admin import serialize_workers
from shared import clock
from shared.db import workers
from shared.db.admin import minute_stats
from shared.db.base import Database
from shared.db.jobs import queries
from shared.db.jobs.queries import Filter
from shared.db.models import Job, MinuteStats, Queue
from shared.errors import AtelierError
from shared.messaging.progress import RedisProgress
from shared.painting.steps import Step
from shared.states import DesiredState, State
from shared.storage.store import ImageStore

#: Where an app keeps its `OverviewCache`.
OVERVIEW_EXTENSION = "atelier_overview"
#: Running jobs that are shown, the newest first.
MAX_SHOWN = 48
_MAX_COUNTED, _MAX_FAILURES = 10_000, 5_000
#: How long an overview is reused, and its slow part, in seconds.
_FRESH_S, _SLOW_FRESH_S = 0.5, 5.0
#: A queue is stalled if nothing runs and its oldest job has waited this long, in seconds.
_STALLED_S = 20.0
_HOUR = timedelta(hours=1)


class RunningJob(NamedTuple):
    """A running job: its row, its latest step, its recent total losses and the version of its preview."""

    job: Job
    step: Step | None
    losses: list[float]
    preview: str | None


class SlowPart(NamedTuple):
    """What changes slowly: statistics of the last 60 minutes, failures by code in each, and each service's error."""

    hour: list[MinuteStats | None]
    failures: dict[str, list[int]]
    health: dict[str, str | None]


@dataclass(frozen=True)
class Overview:
    """The system at one moment."""

    queue: Queue
    waiting: int
    #: Whether `waiting` is the last sample instead of a count.
    is_estimate: bool
    running: int
    oldest_s: float | None
    running_jobs: list[RunningJob]
    workers: list[WorkerView]
    slow: SlowPart

    @property
    def problem(self) -> str | None:
        """Why queued jobs do not start, as a sentence; None if they do."""
        accepting = any(worker.state != "gone" and worker.wish == DesiredState.WORK for worker in self.workers)
        if self.queue.paused_at:
            return "The queue is paused. No job starts until it is resumed."
        if self.queue.held_for:
            return f"The queue is on hold until this is fixed: {self.queue.held_for}."
        if self.waiting and not accepting:
            return "Jobs are waiting, but no worker accepts them."
        if self.waiting and not self.running and (self.oldest_s or 0) > _STALLED_S:
            return "The queue is stalled: jobs are waiting and workers are available, but none is running one."
        return None

    def series(self, name: str) -> list[float | None]:
        """Return a statistic for each minute of the last hour, oldest first; None where it is missing."""
        return [None if minute is None else getattr(minute, name) for minute in self.slow.hour]

    def latest(self, name: str) -> float | None:
        """Return the statistic of the latest complete minute that has it."""
        return next((value for value in reversed(self.series(name)[:-1]) if value is not None), None)

    @property
    def failures(self) -> list[tuple[str, list[int]]]:
        """Failures by code in each minute of the last hour, the most frequent code first."""
        return sorted(self.slow.failures.items(), key=lambda pair: -sum(pair[1]))


class OverviewCache:
    """Shares one overview between the threads of this process."""

    def __init__(self, database: Database, store: ImageStore, progress: RedisProgress) -> None:
        """Read nothing yet."""
        self._database, self._store, self._progress = database, store, progress
        self._lock = threading.Lock()
        self._overview: Overview | None = None
        self._rendered: dict[str, tuple[Overview, str]] = {}
        self._slow: SlowPart | None = None
        self._read_at = self._slow_read_at = float("-inf")

    def get(self) -> Overview:
        """Return the overview, at most half a second old; raise `DatabaseUnavailable`."""
        with self._lock:  # threads that wait here reuse what the first one read
            if self._overview is None or time.monotonic() - self._read_at > _FRESH_S:
                self._overview = self._read()
                self._read_at = time.monotonic()
            return self._overview

    def rendered(self, variant: str, render: Callable[[Overview], str]) -> str:
        """Return the overview as HTML, rendered once per variant."""
        overview = self.get()
        known = self._rendered.get(variant)
        if known is None or known[0] is not overview:
            known = self._rendered[variant] = overview, render(overview)
        return known[1]

    def invalidate(self) -> None:
        """Read anew the next time, after something was changed."""
        self._read_at = self._slow_read_at = float("-inf")

    def _read(self) -> Overview:
        with self._database.reading() as session:
            queue = workers.get_queue(session)
            waiting = queries.count_jobs(session, Filter(states=(State.QUEUED,)), most=_MAX_COUNTED)
            running = queries.count_jobs(session, Filter(states=(State.RUNNING,)), most=_MAX_COUNTED)
            oldest_at = queries.oldest_waiting(session)
            jobs = queries.list_jobs(session, Filter(states=(State.RUNNING,)), limit=MAX_SHOWN)
            slow = self._slow_part(session)
        is_estimate = waiting >= _MAX_COUNTED
        if is_estimate:
            waiting = max(waiting, next((minute.waiting for minute in reversed(slow.hour) if minute), 0))
        return Overview(
            queue=queue,
            waiting=waiting,
            is_estimate=is_estimate,
            running=running,
            oldest_s=None if oldest_at is None else max(0.0, (clock.now() - oldest_at).total_seconds()),
            running_jobs=_with_progress(self._progress, jobs),
            workers=serialize_workers(self._database).workers,
            slow=slow,
        )

    def _slow_part(self, session: Session) -> SlowPart:
        if self._slow is None or time.monotonic() - self._slow_read_at > _SLOW_FRESH_S:
            checks = {"Redis": self._progress.check, "Storage": self._store.check}
            health = {"Database": None, **{name: _error_of(check) for name, check in checks.items()}}
            self._slow = SlowPart(_hour(session), _failures(session), health)
            self._slow_read_at = time.monotonic()
        return self._slow


def _error_of(check: Callable[[], object]) -> str | None:
    try:
        check()
    except (AtelierError, RedisError) as error:
        return str(error) or type(error).__name__
    return None


def _hour(session: Session) -> list[MinuteStats | None]:
    """Return the statistics of each minute of the last hour, oldest first."""
    this_minute = clock.now().replace(second=0, microsecond=0)
    known: dict[datetime, MinuteStats] = {
        each.minute: each for each in minute_stats.list_since(session, this_minute - _HOUR)
    }
    return [known.get(this_minute - timedelta(minutes=back)) for back in range(59, -1, -1)]


def _failures(session: Session) -> dict[str, list[int]]:
    """Count the failures of each code in each minute of the last hour, oldest first."""
    now, found = clock.now(), defaultdict[str, list[int]](lambda: [0] * 60)
    for code, at in queries.list_failed_since(session, _HOUR.total_seconds(), most=_MAX_FAILURES):
        found[code][59 - min(59, max(0, int((now - at).total_seconds() / 60)))] += 1
    return dict(found)


def _with_progress(progress: RedisProgress, jobs: Sequence[Job]) -> list[RunningJob]:
    """Add each job's progress in Redis, or the last step in the database while Redis is down."""
    try:
        latest = progress.list_recent([job.id for job in jobs])
    except RedisError:
        return [RunningJob(job, job.progress, [], None) for job in jobs]
    return [
        RunningJob(
            job,
            each.step or job.progress,
            each.losses,
            None if each.preview is None else f"{job.attempt}-{each.preview}",
        )
        for job, each in zip(jobs, latest, strict=True)
    ]
