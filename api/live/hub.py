"""Following jobs as they run: one reader for each process, however many clients follow however many jobs.

A thread reads the streams of all followed jobs with one call, and hands each event, parsed and written once, to those
who follow that job. Once a second it asks the database, in one statement, where these jobs are, so that followers
hear of every change of state though Redis be away or wiped.

The thread starts with the first follower, thus in the process that serves, never in one that forks.

Invariant: a follower is handed each event after the moment of its registration once and in order; what was before,
it reads by itself, and again when it is told that it is behind.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from redis import RedisError
from sqlalchemy import select

from api.live.subscriber import Follower, News, Row, Sign, Told, format_event
from api.live.ttl_cache import Recent
from shared import logs
from shared.db.base import Database
from shared.db.models import Job
from shared.errors import DatabaseUnavailable
from shared.messaging.progress import RedisProgress

log = logs.get(__name__)

#: How long one read of the streams waits, in milliseconds: also how soon a job that is followed anew is read.
_BLOCK_MS = 200
#: Time between two questions to the database, in seconds.
_ASK_EVERY_S = 1.0
#: The state of a job that is no longer there.
_DELETED = "deleted"


class _Topic:
    """A job that is followed."""

    def __init__(self) -> None:
        self.followers: set[Follower] = set()
        #: The last stream id read; None until Redis has told where the stream is.
        self.after: str | None = None
        self.row: Row | None = None


_Topics = dict[str, _Topic]


class Hub:
    """Reads for all followers of this process; any number of threads may follow."""

    def __init__(
        self,
        database: Database,
        progress: RedisProgress,
        permits: threading.BoundedSemaphore,
        seen: Recent[str, Any],
    ) -> None:
        """Read nothing before somebody follows. Whoever waits here holds one of `permits`.

        What this process has `seen` of a job is forgotten before anybody is told that the database has another state.
        """
        self._database, self._progress, self._permits = database, progress, permits
        self._seen = seen
        self._topics: _Topics = {}
        self._changed = threading.Condition()
        self._reader: threading.Thread | None = None
        self._away = False
        self._closed = False

    @contextmanager
    def follow(self, job_id: str, follower: Follower | None = None) -> Iterator[Follower]:
        """Hand a follower all that happens to a job from now on."""
        follower = follower or Follower()
        self._register(job_id, follower)
        try:
            yield follower
        finally:
            self._forget(job_id, follower)

    def state(self, job_id: str, assumed: str) -> str:
        """Ask the database for a job's state, `deleted` if there is no such job; `assumed` while it is away."""
        try:
            row = self.rows([job_id]).get(job_id)
        except DatabaseUnavailable:
            return assumed
        return row.state if row else _DELETED

    def rows(self, job_ids: list[str]) -> dict[str, Row]:
        """Ask the database where jobs are; raise `DatabaseUnavailable`. Those that are gone are left out."""
        query = select(Job.id, Job.state, Job.attempt, Job.progress).where(Job.id.in_(job_ids))
        with self._database.reading() as session:
            return {
                job_id: Row(state, attempt, progress) for job_id, state, attempt, progress in session.execute(query)
            }

    def wait_change(self, job_id: str, state: str, *, timeout_s: float) -> bool:
        """Wait until a job's state is no longer `state`; say whether that came within `timeout_s`.

        At once False if as many threads wait already as may.
        """
        if not self._permits.acquire(blocking=False):
            return False
        try:
            deadline = time.monotonic() + timeout_s
            with self.follow(job_id) as follower:
                while self.state(job_id, state) == state:
                    if not _stirred(follower, state, deadline):
                        return False
            self._seen.forget(job_id)
            return True
        finally:
            self._permits.release()

    @property
    def closed(self) -> bool:
        """Whether the process is about to stop."""
        return self._closed

    def close(self) -> None:
        """End all streams and waits, now and from now on: the process is about to stop."""
        with self._changed:
            self._closed = True
            followers = [follower for topic in self._topics.values() for follower in topic.followers]
        for follower in followers:
            follower.end()

    # -- who follows

    def _register(self, job_id: str, follower: Follower) -> None:
        with self._changed:
            topic = self._topics.get(job_id) or _Topic()
        if topic.after is None:
            with suppress(RedisError):
                topic.after = self._newest(job_id)
        with self._changed:
            self._topics.setdefault(job_id, topic).followers.add(follower)
            if self._closed:
                follower.end()
            if self._reader is None:
                self._reader = threading.Thread(target=self._read, name="hub", daemon=True)
                self._reader.start()
            self._changed.notify()

    def _forget(self, job_id: str, follower: Follower) -> None:
        with self._changed:
            topic = self._topics[job_id]
            topic.followers.discard(follower)
            if not topic.followers:
                del self._topics[job_id]

    # -- the reader's side

    def _read(self) -> None:
        asked_at = float("-inf")
        while True:
            with self._changed:
                while not self._topics:
                    self._changed.wait()
                topics = dict(self._topics)
            _attempt(self._read_streams, topics)
            if time.monotonic() - asked_at >= _ASK_EVERY_S:
                asked_at = time.monotonic()
                _attempt(self._ask_database, topics)

    def _read_streams(self, topics: _Topics) -> None:
        """Tell what Redis has to tell of these jobs, waiting a little for it."""
        late = [topic for topic in topics.values() if topic.after is None]
        try:
            places = {job_id: topic.after or self._newest(job_id) for job_id, topic in topics.items()}
            for job_id, topic in topics.items():
                topic.after = places[job_id]
            events = self._progress.wait_events(places, block_ms=_BLOCK_MS)
        except RedisError:
            self._away = True
            time.sleep(_BLOCK_MS / 1000)
            return
        for topic in list(topics.values()) if self._away else late:
            self._tell(topic, Sign.BEHIND)
        self._away = False
        for job_id, event in events:
            topics[job_id].after = event.id
            self._tell(topics[job_id], Told(event, format_event(event)))

    def _ask_database(self, topics: _Topics) -> None:
        """Tell what changed in the database, to those who followed before it was asked: others ask by themselves."""
        with self._changed:
            audience = {job_id: list(topic.followers) for job_id, topic in topics.items()}
        for follower in (follower for followers in audience.values() for follower in followers):
            if time.monotonic() > follower.until:
                follower.drop()
        try:
            rows = self.rows(list(topics))
        except DatabaseUnavailable:
            return
        for job_id, topic in topics.items():
            row = rows.get(job_id)
            if row is None or row != topic.row:
                topic.row = row
                self._seen.forget(job_id)
                for follower in audience[job_id]:
                    follower.tell(row or Sign.DELETED)

    def _tell(self, topic: _Topic, news: News) -> None:
        with self._changed:
            followers = list(topic.followers)
        for follower in followers:
            follower.tell(news)

    def _newest(self, job_id: str) -> str:
        kept = self._progress.span(job_id)
        return kept[1] if kept else "0-0"


def _stirred(follower: Follower, state: str, deadline: float) -> bool:
    """Wait for news that may be a change of state; False if none comes before the deadline."""
    while (left_s := deadline - time.monotonic()) > 0 and not follower.dropped:
        if any(_may_change(news, state) for news in follower.hear(left_s)):
            return not follower.dropped
    return False


def _may_change(news: News, state: str) -> bool:
    if isinstance(news, Told):
        return news.event.name in ("state", "end")
    return isinstance(news, Sign) or news.state != state


def _attempt(act: Callable[[_Topics], None], topics: _Topics) -> None:
    """Do one thing of the reader; a mistake in it is logged, and never ends the reading for everybody."""
    try:
        act(topics)
    except Exception:
        log.exception("hub_failed")
        time.sleep(_BLOCK_MS / 1000)
