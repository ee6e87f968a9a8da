"""Following jobs as they run: one reader per process, however many clients follow however many jobs.

A thread reads the Redis streams of all followed jobs with one call, and pushes each event, parsed and formatted once,
to the job's subscribers. Once a second it reads these jobs' rows in one statement, so that subscribers learn of every
change of state even while Redis is down or has lost its data.

The thread starts with the first subscriber, and so in the process that serves, never in one that forks.

Invariant: a subscriber receives each event after its registration once and in order. Earlier ones it reads itself, and
again on `Signal.BEHIND`.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from redis import RedisError
from sqlalchemy import select

from api.live.snapshot import CachedSnapshot
from api.live.subscriber import JobRow, Notification, PublishedEvent, Signal, Subscriber, format_event
from api.live.ttl_cache import TtlCache
from shared import logs
from shared.db.base import Database
from shared.db.models import Job
from shared.errors import DatabaseUnavailable
from shared.messaging.progress import RedisProgress
from shared.shares import Shares

log = logs.get(__name__)

#: How long one read of the streams waits, in milliseconds, and so how soon a newly followed job is read.
_BLOCK_MS = 200
#: Time between two reads of the database, in seconds.
_QUERY_EVERY_S = 1.0
#: The state reported for a job that was deleted.
_DELETED = "deleted"


class _Topic:
    """A job that is followed."""

    def __init__(self) -> None:
        self.subscribers: set[Subscriber] = set()
        #: The last stream id read; None until Redis was asked for the newest.
        self.after: str | None = None
        self.row: JobRow | None = None


_Topics = dict[str, _Topic]


class Hub:
    """Reads for all subscribers of this process; any number of threads may subscribe."""

    def __init__(
        self,
        database: Database,
        progress: RedisProgress,
        permits: Shares,
        snapshots: TtlCache[str, CachedSnapshot],
    ) -> None:
        """Prepare to read; reading starts with the first subscriber. Each thread that waits here holds a permit.

        A job's cached snapshot is forgotten before its subscribers are notified of a change in the database.
        """
        self._database, self._progress, self._permits = database, progress, permits
        self._snapshots = snapshots
        self._topics: _Topics = {}
        self._changed = threading.Condition()
        self._reader: threading.Thread | None = None
        self._redis_down = False
        self._closed = False

    @contextmanager
    def subscribe(self, job_id: str, subscriber: Subscriber | None = None) -> Iterator[Subscriber]:
        """Notify a subscriber of everything that happens to a job from now on."""
        subscriber = subscriber or Subscriber()
        self._register(job_id, subscriber)
        try:
            yield subscriber
        finally:
            self._unregister(job_id, subscriber)

    def state(self, job_id: str, assumed: str) -> str:
        """Return a job's state, `deleted` if there is no such job, or `assumed` while the database is unavailable."""
        try:
            row = self.rows([job_id]).get(job_id)
        except DatabaseUnavailable:
            return assumed
        return row.state if row else _DELETED

    def rows(self, job_ids: list[str]) -> dict[str, JobRow]:
        """Read jobs' rows, those that exist; raise `DatabaseUnavailable`."""
        query = select(Job.id, Job.state, Job.attempt, Job.progress).where(Job.id.in_(job_ids))
        with self._database.reading() as session:
            return {
                job_id: JobRow(state, attempt, progress) for job_id, state, attempt, progress in session.execute(query)
            }

    def wait_change(self, job_id: str, state: str, *, owner: str, timeout_s: float) -> bool:
        """Wait up to `timeout_s` until a job's state differs from `state`; say whether it does.

        Returns False at once if there is no permit for `owner`, who waits.
        """
        with self._permits.permit(owner) as permitted:
            if not permitted:
                return False
            deadline = time.monotonic() + timeout_s
            with self.subscribe(job_id) as subscriber:
                while self.state(job_id, state) == state:
                    if not _may_have_changed(subscriber, state, deadline):
                        return False
            self._snapshots.forget(job_id)
            return True

    @property
    def closed(self) -> bool:
        """Whether the process is stopping."""
        return self._closed

    def close(self, *, wait_s: float = 0) -> None:
        """End the reading and all streams and waits, present and future: the process is stopping.

        Wait up to `wait_s` for the reading to end; what it reads from should stay open for as long.
        """
        with self._changed:
            self._closed = True
            self._changed.notify()
            reader = self._reader
            subscribers = [subscriber for topic in self._topics.values() for subscriber in topic.subscribers]
        for subscriber in subscribers:
            subscriber.end()
        if reader is not None:
            reader.join(wait_s)

    # -- subscribers

    def _register(self, job_id: str, subscriber: Subscriber) -> None:
        with self._changed:
            topic = self._topics.get(job_id) or _Topic()
        if topic.after is None:
            with suppress(RedisError):
                topic.after = self._newest(job_id)
        with self._changed:
            self._topics.setdefault(job_id, topic).subscribers.add(subscriber)
            if self._closed:
                subscriber.end()
            elif self._reader is None:
                self._reader = threading.Thread(target=self._read, name="hub", daemon=True)
                self._reader.start()
            self._changed.notify()

    def _unregister(self, job_id: str, subscriber: Subscriber) -> None:
        with self._changed:
            topic = self._topics[job_id]
            topic.subscribers.discard(subscriber)
            if not topic.subscribers:
                del self._topics[job_id]

    # -- the reader's thread

    def _read(self) -> None:
        queried_at = float("-inf")
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._topics or self._closed)
                if self._closed:
                    return
                topics = dict(self._topics)
            _run_safely(self._read_streams, topics)
            if time.monotonic() - queried_at >= _QUERY_EVERY_S:
                queried_at = time.monotonic()
                _run_safely(self._read_database, topics)

    def _read_streams(self, topics: _Topics) -> None:
        """Push new events from Redis, waiting up to `_BLOCK_MS` for them."""
        late = [topic for topic in topics.values() if topic.after is None]
        try:
            positions = {job_id: topic.after or self._newest(job_id) for job_id, topic in topics.items()}
            for job_id, topic in topics.items():
                topic.after = positions[job_id]
            events = self._progress.wait_events(positions, block_ms=_BLOCK_MS)
        except RedisError:
            self._redis_down = True
            time.sleep(_BLOCK_MS / 1000)
            return
        for topic in list(topics.values()) if self._redis_down else late:
            self._publish(topic, Signal.BEHIND)
        self._redis_down = False
        for job_id, event in events:
            topics[job_id].after = event.id
            self._publish(topics[job_id], PublishedEvent(event, format_event(event)))

    def _read_database(self, topics: _Topics) -> None:
        """Push changed rows to those who subscribed before the read; later subscribers read the row themselves."""
        with self._changed:
            audience = {job_id: list(topic.subscribers) for job_id, topic in topics.items()}
        for subscriber in (each for subscribers in audience.values() for each in subscribers):
            if time.monotonic() > subscriber.until:
                subscriber.drop()
        try:
            rows = self.rows(list(topics))
        except DatabaseUnavailable:
            return
        for job_id, topic in topics.items():
            row = rows.get(job_id)
            if row is None or row != topic.row:
                topic.row = row
                self._snapshots.forget(job_id)
                for subscriber in audience[job_id]:
                    subscriber.push(row or Signal.DELETED)

    def _publish(self, topic: _Topic, notification: Notification) -> None:
        with self._changed:
            subscribers = list(topic.subscribers)
        for subscriber in subscribers:
            subscriber.push(notification)

    def _newest(self, job_id: str) -> str:
        kept = self._progress.span(job_id)
        return kept[1] if kept else "0-0"


def _may_have_changed(subscriber: Subscriber, state: str, deadline: float) -> bool:
    """Wait for a notification that may mean another state; return False if none comes before the deadline."""
    while (left_s := deadline - time.monotonic()) > 0 and not subscriber.dropped:
        if any(_may_mean_change(each, state) for each in subscriber.drain(left_s)):
            return not subscriber.dropped
    return False


def _may_mean_change(notification: Notification, state: str) -> bool:
    if isinstance(notification, PublishedEvent):
        return notification.event.name in ("state", "end")
    return isinstance(notification, Signal) or notification.state != state


def _run_safely(read: Callable[[_Topics], None], topics: _Topics) -> None:
    """Run one read; log any error, so that it never ends the reading for everybody."""
    try:
        read(topics)
    except Exception:
        log.exception("hub_failed")
        time.sleep(_BLOCK_MS / 1000)
