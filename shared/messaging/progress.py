"""Progress over Redis: every step of every running job, its latest preview, and a fast signal to cancel.

Each job has one stream, plus its latest step under a key of its own, which is all that a poll reads. The worker writes
the steps of one compiled call in one round trip, which also returns whether the job is to be canceled. Losing Redis
loses only history: the database has the state of each job and every request to cancel.

Invariant: every key expires.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple, cast

from redis import ConnectionError, Redis, RedisError, TimeoutError  # noqa: A004 - Redis' own, not Python's
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared import logs
from shared.messaging.circuit_breaker import CircuitBreaker
from shared.painting.steps import Step

log = logs.get(__name__)

#: How long a job's stream is kept after its last step, in seconds.
HISTORY_S = 24 * 3600
#: The same after a job has ended and its losses are in storage: long enough for clients to read the `end` event.
ENDED_S = 60
#: Entries kept per stream; the oldest are trimmed.
HISTORY_STEPS = 20_000
#: Entries at the end of a stream that `list_recent` reads.
_RECENT = 80
#: Entries read in one call.
_PAGE = 1000
#: Entries that one wait for events returns at most.
_EVENTS = 500
#: Most connections of a client: more than a process has threads, since exceeding it looks like a lost Redis.
_CONNECTIONS = 10_000
#: Socket timeout of one call, in seconds.
_TIMEOUT_S = 1.0
#: How long reads fail at once after one has found Redis down, in seconds.
_RESET_AFTER_S = 2.0


class Event(NamedTuple):
    """One entry of a job's stream: `step`, `preview`, `state` or `end`, with its Redis stream id."""

    id: str
    name: str
    data: Mapping[str, Any]

    @property
    def step(self) -> Step | None:
        """The step that this reports, if it is a `step`."""
        return cast("Step", self.data) if self.name == "step" else None


class RecentProgress(NamedTuple):
    """A job's latest step, the total losses of its recent steps, and the step of its latest preview."""

    step: Step | None
    losses: list[float]
    preview: int | None


def connect(redis_url: str, *, timeout_s: float = _TIMEOUT_S) -> Redis:
    """Create a Redis client whose calls fail within `timeout_s` and are not retried."""
    return Redis.from_url(
        redis_url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
        max_connections=_CONNECTIONS,
    )


class RedisProgress:
    """Writes and reads the progress of jobs in Redis."""

    def __init__(self, redis: Redis) -> None:
        """Use `redis`, created by `connect`."""
        self._redis = redis
        self._is_down = False
        self._reading = CircuitBreaker((ConnectionError, TimeoutError), reset_after_s=_RESET_AFTER_S)

    # -- for the worker: losing Redis is logged once and raises nothing, so it never stops painting

    def started(self, job_id: str, attempt: int, *, after_step: int = 0) -> None:
        """Begin an attempt, which continues after `after_step` of an earlier one."""
        pipe = self._redis.pipeline(transaction=False)
        if not after_step:
            pipe.delete(_key(job_id, "progress"), _key(job_id, "step"), _key(job_id, "preview"))
        self._add(pipe, job_id, "state", {"state": "running", "attempt": attempt, "after_step": after_step})
        pipe.expire(_key(job_id, "progress"), HISTORY_S)
        self._run(pipe)

    def steps(self, job_id: str, steps: Sequence[Step], preview: bytes | None) -> bool:
        """Add the steps of one call, and a preview after the last; return whether the job is to be canceled."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.exists(_key(job_id, "cancel"))
        for step in steps:
            self._add(pipe, job_id, "step", step)
        if steps:
            pipe.set(_key(job_id, "step"), _json(steps[-1]), ex=HISTORY_S)
        if preview is not None:
            pipe.set(_key(job_id, "preview"), preview, ex=HISTORY_S)
            self._add(pipe, job_id, "preview", {"step": steps[-1]["step"], "bytes": len(preview)})
        pipe.expire(_key(job_id, "progress"), HISTORY_S)
        replies = self._run(pipe)
        return bool(replies and replies[0])

    def ended(self, job_ids: Sequence[str], state: str) -> None:
        """Add the `end` event to the streams of jobs that ended in `state`; let what storage now has expire soon."""
        failed = state == "failed"
        pipe = self._redis.pipeline(transaction=False)
        for job_id in job_ids:
            # deleted before `end` is added: whoever sees `end` finds what is in storage, nothing older. The preview of
            # a failed job stays, since it may have nothing there.
            pipe.delete(_key(job_id, "step"), _key(job_id, "cancel"), *(() if failed else (_key(job_id, "preview"),)))
            self._add(pipe, job_id, "end", {"state": state})
            pipe.expire(_key(job_id, "progress"), HISTORY_S if failed else ENDED_S)
        if job_ids:
            self._run(pipe)

    def _add(self, pipe: Any, job_id: str, name: str, data: Mapping[str, Any]) -> None:
        """Add an event to a job's stream; the caller lets the stream expire, in the same pipeline."""
        fields = {"name": name, "data": _json(data)}
        pipe.xadd(_key(job_id, "progress"), fields, maxlen=HISTORY_STEPS, approximate=True)

    def _run(self, pipe: Any) -> list[Any]:
        try:
            replies: list[Any] = pipe.execute()
        except RedisError as error:
            if not self._is_down:
                log.warning("progress_unavailable", reason=str(error))
            self._is_down = True
            return []
        if self._is_down:
            log.info("progress_returned")
        self._is_down = False
        return replies

    # -- for the API: these raise RedisError, and the caller falls back on the database

    def check(self) -> None:
        """Ping Redis, bypassing the circuit breaker; raise `RedisError` unless it answers."""
        self._redis.ping()

    def signal_cancel(self, job_id: str) -> None:
        """Tell a running job at once that it is to be canceled; the database has the request itself."""
        self._reading.call(lambda: self._redis.set(_key(job_id, "cancel"), 1, ex=HISTORY_S))

    def get_latest_step(self, job_id: str) -> bytes | None:
        """Return the latest step of a job that has not ended, as JSON, or None."""
        step = self._reading.call(lambda: self._redis.get(_key(job_id, "step")))
        return step if isinstance(step, bytes) else None

    def list_recent(self, job_ids: Sequence[str]) -> list[RecentProgress]:
        """Return the recent progress of several jobs, in one round trip."""
        if not job_ids:
            return []
        pipe = self._redis.pipeline(transaction=False)
        for job_id in job_ids:
            pipe.xrevrange(_key(job_id, "progress"), count=_RECENT)
        return [_recent_progress(list(_parsed(entries))) for entries in self._reading.call(pipe.execute)]

    def all_steps(self, job_id: str) -> list[Step]:
        """Return every step still kept, oldest first; of steps repeated by a later attempt, the last."""
        found: list[Step] = []
        for event in self.events(job_id):
            if event.name == "state":
                after_step = event.data.get("after_step", 0)
                found = [step for step in found if step["step"] <= after_step]
            elif event.step:
                found.append(event.step)
        return found

    def events(self, job_id: str, after: str = "") -> Iterator[Event]:
        """Yield every entry after the stream id `after`, oldest first, reading a page at a time."""
        while True:
            least = f"({after}" if after else "-"
            page: Any = self._reading.call(
                partial(self._redis.xrange, _key(job_id, "progress"), min=least, count=_PAGE)
            )
            yield from _parsed(page)
            if len(page) < _PAGE:
                return
            after = page[-1][0].decode()

    def span(self, job_id: str) -> tuple[str, str] | None:
        """Return the stream ids of the oldest and the newest entry kept, or None."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.xrange(_key(job_id, "progress"), count=1)
        pipe.xrevrange(_key(job_id, "progress"), count=1)
        ends = [entry_id.decode() for entries in self._reading.call(pipe.execute) for entry_id, _ in entries]
        return (ends[0], ends[-1]) if ends else None

    def wait_events(self, after: Mapping[str, str], *, block_ms: int) -> list[tuple[str, Event]]:
        """Return the entries of several jobs after their given stream ids, waiting up to `block_ms` for the first.

        `block_ms` must be well below the client's `timeout_s`, or waiting looks like a lost Redis.
        """
        streams: Any = {_key(job_id, "progress"): last_id for job_id, last_id in after.items()}
        reply = self._reading.call(lambda: self._redis.xread(streams, count=_EVENTS, block=block_ms))
        found: Any = reply.items() if isinstance(reply, dict) else reply or ()
        return [(_job_of(stream), event) for stream, entries in found for event in _parsed(_flat(entries))]

    def preview(self, job_id: str) -> bytes | None:
        """Return the latest preview, an encoded JPEG, or None."""
        data = self._reading.call(lambda: self._redis.get(_key(job_id, "preview")))
        return data if isinstance(data, bytes) else None


def _recent_progress(events: Sequence[Event]) -> RecentProgress:
    """Summarize events, given newest first."""
    steps = [event.step for event in events if event.step]
    previews = (event.data["step"] for event in events if event.name == "preview")
    losses = [step["losses"]["total"] for step in reversed(steps)]
    return RecentProgress(steps[0] if steps else None, losses, next(previews, None))


def _parsed(entries: Any) -> Iterator[Event]:
    for entry_id, fields in entries:
        yield Event(entry_id.decode(), fields[b"name"].decode(), json.loads(fields[b"data"]))


def _json(data: Mapping[str, Any]) -> str:
    return json.dumps(data, separators=(",", ":"))


def _flat(entries: Any) -> Any:
    """Remove the extra list that RESP3 puts around one stream's entries."""
    return entries[0] if entries and isinstance(entries[0], list) else entries


def _key(job_id: str, kind: Literal["progress", "step", "preview", "cancel"]) -> str:
    """Return a key of a job: its stream, its latest step, its latest preview, or the signal to cancel it."""
    return f"atelier:job:{job_id}:{kind}"


def _job_of(stream: bytes) -> str:
    return stream.decode().split(":")[2]
