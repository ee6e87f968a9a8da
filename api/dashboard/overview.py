"""What the page Now is made of, looked up once for all who look within half a second.

Limits: up to `MOST_SHOWN` running jobs; waiting jobs are counted up to `_MOST_COUNTED`, and beyond that by the last
reading, a third of a minute old at most, so that a look costs the same at any size. Without Redis all of it is there
but the live pictures and curves; what is down is said.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from redis import RedisError
from sqlalchemy.orm import Session

from api.schemas.admin import WorkerView
from api.serializers.admin import serialize_workers
from api.services import Services
from shared import clock
from shared.db import workers
from shared.db.admin import minute_stats
from shared.db.jobs import queries
from shared.db.jobs.queries import Filter
from shared.db.models import Job, MinuteStats, Queue
from shared.errors import AtelierError
from shared.states import DesiredState, State

#: Running jobs that are shown, the ones begun last first.
MOST_SHOWN = 48
_MOST_COUNTED, _MOST_FAILURES = 10_000, 5_000
#: How long a look serves everybody, in seconds; what changes slowly is asked more seldom.
_FRESH_S, _SLOW_FRESH_S = 0.5, 5.0
#: A queue whose oldest job has waited this long while nothing runs looks stalled, in seconds.
_STALLED_S = 20.0
_HOUR = timedelta(hours=1)


class Running(NamedTuple):
    """A running job: its row, its newest step, its last total losses, and which preview there is."""

    job: Job
    step: dict[str, Any] | None
    losses: list[float]
    preview: str | None


class Slow(NamedTuple):
    """What changes slowly: of the last hour each minute's reading and failures by code, and what does not answer."""

    hour: list[MinuteStats | None]
    failures: dict[str, list[int]]
    health: dict[str, str | None]


@dataclass(frozen=True)
class Look:
    """The system at one moment."""

    queue: Queue
    waiting: int
    #: Whether more wait than were counted, and `waiting` is what the last reading says.
    about: bool
    running: int
    oldest_s: float | None
    wall: list[Running]
    workers: list[WorkerView]
    slow: Slow

    @property
    def willing(self) -> int:
        """How many workers live and take jobs."""
        return sum(worker.state != "gone" and worker.wish == DesiredState.WORK for worker in self.workers)

    @property
    def trouble(self) -> str | None:
        """Why nothing moves though jobs wait, in words; None if it does."""
        if self.queue.paused_at:
            return "The queue is paused: nothing starts until it is resumed."
        if self.queue.held_for:
            return f"The queue holds by itself until this is mended: {self.queue.held_for}."
        if self.waiting and not self.willing:
            return "Jobs wait, and no worker is there that takes them."
        if self.waiting and not self.running and (self.oldest_s or 0) > _STALLED_S:
            return "The queue is stalled: jobs wait, workers are there, and none of them paints."
        return None

    def minutes(self, name: str) -> list[float | None]:
        """Return what each minute's reading of the last hour says; None where there is none."""
        return [None if reading is None else getattr(reading, name) for reading in self.slow.hour]

    def last(self, name: str) -> float | None:
        """Return the newest of that in the hour, of a minute that is over."""
        return next((value for value in reversed(self.minutes(name)[:-1]) if value is not None), None)

    @property
    def failures(self) -> list[tuple[str, list[int]]]:
        """How often each error was met in each minute of the last hour, the most frequent first."""
        return sorted(self.slow.failures.items(), key=lambda pair: -sum(pair[1]))


class Overview:
    """Looks at the system for all pages of this process; any number of threads may ask."""

    def __init__(self, services: Services) -> None:
        """Look at nothing yet."""
        self._services = services
        self._lock = threading.Lock()
        self._look: Look | None = None
        self._written: dict[str, tuple[Look, str]] = {}
        self._slow: Slow | None = None
        self._looked_at = self._slow_at = float("-inf")

    def look(self) -> Look:
        """Return how the system is, or was half a second ago; raise `DatabaseUnavailable`."""
        with self._lock:  # who waits here is served by the look of who was first
            if self._look is None or time.monotonic() - self._looked_at > _FRESH_S:
                self._look = self._now()
                self._looked_at = time.monotonic()
            return self._look

    def written(self, kind: str, write: Callable[[Look], str]) -> str:
        """Return what `write` makes of a look, written once for everybody of a kind."""
        look = self.look()
        known = self._written.get(kind)
        if known is None or known[0] is not look:
            known = self._written[kind] = look, write(look)
        return known[1]

    def forget(self) -> None:
        """Look anew the next time: something was just changed."""
        self._looked_at = self._slow_at = float("-inf")

    def _now(self) -> Look:
        found = self._services
        with found.database.reading() as session:
            queue = workers.get_queue(session)
            waiting = queries.count_jobs(session, Filter((State.QUEUED,)), most=_MOST_COUNTED)
            running = queries.count_jobs(session, Filter((State.RUNNING,)), most=_MOST_COUNTED)
            oldest_at = queries.oldest_waiting(session)
            jobs = queries.list_jobs(session, Filter((State.RUNNING,)), limit=MOST_SHOWN)
            slow = self._slowly(session)
        about = waiting >= _MOST_COUNTED
        return Look(
            queue=queue,
            waiting=max(waiting, next((r.waiting for r in reversed(slow.hour) if r), 0)) if about else waiting,
            about=about,
            running=running,
            oldest_s=None if oldest_at is None else max(0.0, (clock.now() - oldest_at).total_seconds()),
            wall=_live(found, jobs),
            workers=serialize_workers(found.database).workers,
            slow=slow,
        )

    def _slowly(self, session: Session) -> Slow:
        if self._slow is None or time.monotonic() - self._slow_at > _SLOW_FRESH_S:
            parts = {"Redis": self._services.progress.check, "Storage": self._services.store.check}
            health = {"Database": None, **{name: _trouble(check) for name, check in parts.items()}}
            self._slow = Slow(_hour(session), _failures(session), health)
            self._slow_at = time.monotonic()
        return self._slow


def _trouble(check: Any) -> str | None:
    """Say why a part does not answer; None if it does."""
    try:
        check()
    except (AtelierError, RedisError) as error:
        return str(error) or type(error).__name__
    return None


def _hour(session: Session) -> list[MinuteStats | None]:
    """Return a reading for each minute of the last hour, oldest first."""
    this_minute = clock.now().replace(second=0, microsecond=0)
    known: dict[datetime, MinuteStats] = {
        each.minute: each for each in minute_stats.list_since(session, this_minute - _HOUR)
    }
    return [known.get(this_minute - timedelta(minutes=back)) for back in range(59, -1, -1)]


def _failures(session: Session) -> dict[str, list[int]]:
    """Count the last failures by code and minute, the oldest minute first."""
    now, found = clock.now(), defaultdict[str, list[int]](lambda: [0] * 60)
    for code, at in queries.list_failed_since(session, _HOUR.total_seconds(), most=_MOST_FAILURES):
        found[code][59 - min(59, max(0, int((now - at).total_seconds() / 60)))] += 1
    return dict(found)


def _live(services: Services, jobs: Sequence[Job]) -> list[Running]:
    """Add to each job what Redis knows of it; while that is away, the database's last step."""
    try:
        stories = services.progress.newest([job.id for job in jobs])
    except RedisError:
        return [Running(job, job.progress, [], None) for job in jobs]
    return [
        Running(
            job,
            story.step or job.progress,
            story.losses,
            None if story.preview is None else f"{job.attempt}-{story.preview}",
        )
        for job, story in zip(jobs, stories, strict=True)
    ]
