"""Following jobs as they run: one reader for each process, however many clients follow however many jobs.

A thread reads the streams of all followed jobs with one call, and hands each event, parsed and written once, to the
queues of those who follow that job. Once a second it asks the database, in one statement, where these jobs are, so
that followers hear of every change of state though Redis be away or wiped.

Limits: a follower that lags by `_QUEUE` events is dropped; it comes back with the last id that it has.

Invariant: a follower is handed each event after the moment of its registration once and in order; what was before,
it reads by itself.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from redis import RedisError
from sqlalchemy import select

from shared import logs
from shared.db.base import Database
from shared.db.models import Job
from shared.errors import DatabaseUnavailable
from shared.progress import Event, RedisProgress

log = logs.get(__name__)

#: How long one read of the streams waits, in milliseconds: also how soon a job that is followed anew is read.
_BLOCK_MS = 200
#: Time between two questions to the database, in seconds.
_ASK_EVERY_S = 1.0
#: Events that a follower may lag behind.
_QUEUE = 2000


class Row(NamedTuple):
    """Where a job is, as the database has it."""

    state: str
    attempt: int
    progress: dict[str, Any] | None


class Told(NamedTuple):
    """An event, and how it is written to clients."""

    event: Event
    text: str


class Follower:
    """One who follows a job; give it up by leaving `Hub.follow`."""

    def __init__(self) -> None:
        """Have heard nothing."""
        self._heard: queue.Queue[Told | Row | None] = queue.Queue(_QUEUE)
        self.lost = False

    def hear(self, timeout_s: float) -> list[Told | Row | None]:
        """Wait for news, up to `timeout_s`; a `Row` says where the job is now, None that it is deleted."""
        try:
            heard = [self._heard.get(timeout=max(0.0, timeout_s))]
        except queue.Empty:
            return []
        with suppress(queue.Empty):
            while True:
                heard.append(self._heard.get_nowait())
        return heard

    def tell(self, news: Told | Row | None) -> None:
        """Hand over news; one who has too many waiting is lost."""
        try:
            self._heard.put_nowait(news)
        except queue.Full:
            self.lost = True


class _Topic:
    """A job that is followed."""

    def __init__(self) -> None:
        self.followers: set[Follower] = set()
        #: The last stream id read; None until Redis has told where the stream is.
        self.after: str | None = None
        self.row: Row | None = None


class Hub:
    """Reads for all followers of this process; any number of threads may follow."""

    def __init__(self, database: Database, progress: RedisProgress, permits: threading.BoundedSemaphore) -> None:
        """Read nothing before somebody follows. Whoever waits here holds one of `permits`."""
        self._database, self._progress, self._permits = database, progress, permits
        self._topics: dict[str, _Topic] = {}
        self._changed = threading.Condition()
        self._reader: threading.Thread | None = None

    @contextmanager
    def follow(self, job_id: str) -> Iterator[Follower]:
        """Hand a follower all that happens to a job from now on."""
        follower = Follower()
        with self._changed:
            topic = self._topics.setdefault(job_id, _Topic())
        if topic.after is None:
            topic.after = self._newest(job_id)
        with self._changed:
            self._topics.setdefault(job_id, topic).followers.add(follower)
            if self._reader is None:
                self._reader = threading.Thread(target=self._read, name="hub", daemon=True)
                self._reader.start()
            self._changed.notify()
        try:
            yield follower
        finally:
            with self._changed:
                topic = self._topics.get(job_id, topic)
                topic.followers.discard(follower)
                if not topic.followers:
                    self._topics.pop(job_id, None)

    def wait_change(self, job_id: str, state: str, *, timeout_s: float) -> bool:
        """Wait until a job's state is no longer `state`; say whether that came within `timeout_s`.

        At once False if as many threads wait already as may.
        """
        if not self._permits.acquire(blocking=False):
            return False
        try:
            deadline = time.monotonic() + timeout_s
            with self.follow(job_id) as follower:
                while True:
                    if self._row(job_id, state).state != state:
                        return True
                    if not self._something_happened(follower, state, deadline):
                        return False
        finally:
            self._permits.release()

    def _something_happened(self, follower: Follower, state: str, deadline: float) -> bool:
        """Wait for news that may be a change of state; False if none comes before the deadline."""
        while (left_s := deadline - time.monotonic()) > 0:
            for news in follower.hear(left_s):
                changed = news.state != state if isinstance(news, Row) else news is None
                if changed or (isinstance(news, Told) and news.event.name in ("state", "end")):
                    return True
        return False

    def _row(self, job_id: str, assumed: str) -> Row:
        """Ask where a job is; one that is gone, or a database that is away, is said as it has to be handled."""
        try:
            return self._rows([job_id]).get(job_id) or Row("deleted", 0, None)
        except DatabaseUnavailable:
            return Row(assumed, 0, None)

    def _newest(self, job_id: str) -> str | None:
        try:
            return self._progress.newest_id(job_id)
        except RedisError:
            return None

    # -- the reader's side

    def _read(self) -> None:
        asked_at = float("-inf")
        while True:
            with self._changed:
                while not self._topics:
                    self._changed.wait()
                topics = dict(self._topics)
            self._read_streams(topics)
            if time.monotonic() - asked_at >= _ASK_EVERY_S:
                asked_at = time.monotonic()
                self._ask_database(topics)

    def _read_streams(self, topics: dict[str, _Topic]) -> None:
        for job_id, topic in topics.items():
            if topic.after is None:
                topic.after = self._newest(job_id)
        known = {job_id: topic.after for job_id, topic in topics.items() if topic.after is not None}
        try:
            events = self._progress.wait_events(known, block_ms=_BLOCK_MS) if known else None
        except RedisError:
            events = None
        if events is None:  # nobody waited for us
            time.sleep(_BLOCK_MS / 1000)
            return
        for job_id, event in events:
            topics[job_id].after = event.id
            self._tell(topics[job_id], Told(event, format_event(event)))

    def _ask_database(self, topics: dict[str, _Topic]) -> None:
        try:
            rows = self._rows(list(topics))
        except DatabaseUnavailable:
            return
        for job_id, topic in topics.items():
            row = rows.get(job_id)
            if row != topic.row or row is None:
                topic.row = row
                self._tell(topic, row)

    def _tell(self, topic: _Topic, news: Told | Row | None) -> None:
        with self._changed:
            followers = list(topic.followers)
        for follower in followers:
            follower.tell(news)

    def _rows(self, job_ids: list[str]) -> dict[str, Row]:
        query = select(Job.id, Job.state, Job.attempt, Job.progress).where(Job.id.in_(job_ids))
        with self._database.reading() as session:
            return {
                job_id: Row(state, attempt, progress) for job_id, state, attempt, progress in session.execute(query)
            }


def format_event(event: Event) -> str:
    """Write one event; one made from the database has no id, so that it never moves a client's place."""
    lines = [f"event: {event.name}", f"data: {json.dumps(event.data, separators=(',', ':'))}"]
    return "\n".join([f"id: {event.id}", *lines] if event.id else lines) + "\n\n"
