"""Progress over Redis: every step of every running job, its newest preview, and quick cancel wishes.

One stream per job, and its newest step by itself, which is all that a poll reads. The worker writes the steps of one
compiled call in one round trip, which also brings back whether a cancel is wished. All of it may vanish at any moment
and only history is lost: the database has the last state and every wish.

Invariant: no call waits longer than its timeout, nor does a reader for a Redis that another found away; every
key has a time to live.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, cast

from redis import ConnectionError, Redis, RedisError, TimeoutError  # noqa: A004 - Redis' own, not Python's
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared import logs
from shared.messaging.circuit_breaker import Breaker
from shared.painting.steps import Step

log = logs.get(__name__)

#: How long a job's history outlives its last step, in seconds.
HISTORY_S = 24 * 3600
#: The same once the picture and its losses are in storage: followers hear the end, and ten thousand jobs stay small.
ENDED_S = 60
#: Steps kept per job; beyond it the oldest are trimmed.
HISTORY_STEPS = 20_000
#: Entries at the end of a story that tell how a job does now: its curve, and the last preview among them.
_NEWEST = 80
#: Steps read at once.
_PAGE = 1000
#: Most connections of one client: more than a process has threads, for one too many would seem an absent Redis.
_CONNECTIONS = 10_000
#: Longest wait of one ordinary call, in seconds.
_TIMEOUT_S = 1.0
#: How long readers fail at once after one has found Redis away, in seconds.
_REST_S = 2.0


class Event(NamedTuple):
    """One entry of a job's stream: `step`, `preview`, `state` or `end`, with its Redis stream id."""

    id: str
    name: str
    data: Mapping[str, Any]

    @property
    def step(self) -> Step | None:
        """The step that this reports, if it is a `step`."""
        return cast("Step", self.data) if self.name == "step" else None


class Newest(NamedTuple):
    """The end of a job's story: its newest step, the total losses of the last ones, and the step of its preview."""

    step: Step | None
    losses: list[float]
    preview: int | None


class ProgressWriter(Protocol):
    """What a running job tells; implementations never raise for a store that is away."""

    def started(self, job_id: str, attempt: int, *, after_step: int = 0) -> None:
        """Begin the history of this attempt, which goes on after that step of an earlier one."""

    def steps(self, job_id: str, steps: Sequence[Step], preview: bytes | None) -> bool:
        """Add the steps of one call, and the picture after them if given; say whether a cancel is wished."""

    def ended(self, job_ids: Sequence[str], state: str) -> None:
        """Close the history of jobs with the state they ended in."""


def connect(redis_url: str, *, timeout_s: float = _TIMEOUT_S) -> Redis:
    """Open a Redis client whose calls fail within `timeout_s` and are not repeated."""
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
        """Use `redis`, made by `connect`."""
        self._redis = redis
        self._away = False
        self._reading = Breaker((ConnectionError, TimeoutError), rest_s=_REST_S)

    # -- the worker's side: losing Redis is logged once and never stops the painting

    def started(self, job_id: str, attempt: int, *, after_step: int = 0) -> None:
        """Begin the history of this attempt, which goes on after that step of an earlier one."""
        pipe = self._redis.pipeline(transaction=False)
        if not after_step:
            pipe.delete(_stream(job_id), _newest(job_id), _preview(job_id))
        self._add(pipe, job_id, "state", {"state": "running", "attempt": attempt, "after_step": after_step})
        pipe.expire(_stream(job_id), HISTORY_S)
        self._run(pipe)

    def steps(self, job_id: str, steps: Sequence[Step], preview: bytes | None) -> bool:
        """Add the steps of one call, and the picture after them if given; say whether a cancel is wished."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.exists(_cancel(job_id))
        for step in steps:
            self._add(pipe, job_id, "step", step)
        if steps:
            pipe.set(_newest(job_id), _json(steps[-1]), ex=HISTORY_S)
        if preview is not None:
            pipe.set(_preview(job_id), preview, ex=HISTORY_S)
            self._add(pipe, job_id, "preview", {"step": steps[-1]["step"], "bytes": len(preview)})
        pipe.expire(_stream(job_id), HISTORY_S)
        answers = self._run(pipe)
        return bool(answers and answers[0])

    def ended(self, job_ids: Sequence[str], state: str) -> None:
        """Close the history of jobs with the state they ended in; what lies in storage from then on goes soon."""
        failed = state == "failed"
        pipe = self._redis.pipeline(transaction=False)
        for job_id in job_ids:
            # before anybody hears of the end
            pipe.delete(_newest(job_id), _cancel(job_id), *(() if failed else (_preview(job_id),)))
            self._add(pipe, job_id, "end", {"state": state})
            pipe.expire(_stream(job_id), HISTORY_S if failed else ENDED_S)
        if job_ids:
            self._run(pipe)

    def _add(self, pipe: Any, job_id: str, name: str, data: Mapping[str, Any]) -> None:
        fields = {"name": name, "data": _json(data)}
        pipe.xadd(_stream(job_id), fields, maxlen=HISTORY_STEPS, approximate=True)

    def _run(self, pipe: Any) -> list[Any]:
        try:
            answers: list[Any] = pipe.execute()
        except RedisError as error:
            if not self._away:
                log.warning("progress_unavailable", reason=str(error))
            self._away = True
            return []
        if self._away:
            log.info("progress_returned")
        self._away = False
        return answers

    # -- the API's side: these raise RedisError, and the caller falls back on the database

    def check(self) -> None:
        """Raise `RedisError` unless Redis answers; it is asked in any case."""
        self._redis.ping()

    def wish_cancel(self, job_id: str) -> None:
        """Tell a running job quickly that its cancel is wished; the wish itself is in the database."""
        self._reading.call(lambda: self._redis.set(_cancel(job_id), 1, ex=HISTORY_S))

    def newest_step(self, job_id: str) -> bytes | None:
        """Return the newest step of a job that has not ended, as JSON, or None."""
        newest = self._reading.call(lambda: self._redis.get(_newest(job_id)))
        return newest if isinstance(newest, bytes) else None

    def newest(self, job_ids: Sequence[str]) -> list[Newest]:
        """Return the end of each job's story, of many jobs in one round trip."""
        pipe = self._redis.pipeline(transaction=False)
        for job_id in job_ids:
            pipe.xrevrange(_stream(job_id), count=_NEWEST)
        return [_newest_of(list(_parsed(entries))) for entries in self._reading.call(pipe.execute)] if job_ids else []

    def all_steps(self, job_id: str) -> list[Step]:
        """Return every step still kept, oldest first; those that a later attempt made again, once."""
        found: list[Step] = []
        for event in self.events(job_id):
            if event.name == "state":
                after_step = event.data.get("after_step", 0)
                found = [step for step in found if step["step"] <= after_step]
            elif event.step:
                found.append(event.step)
        return found

    def events(self, job_id: str, after: str = "") -> Iterator[Event]:
        """Yield every entry still kept, oldest first, from the one after that stream id; read a page at a time."""
        while True:
            page = self._page(job_id, f"({after}" if after else "-")
            yield from _parsed(page)
            if len(page) < _PAGE:
                return
            after = page[-1][0].decode()

    def span(self, job_id: str) -> tuple[str, str] | None:
        """Return the stream ids of the oldest and the newest entry still kept, or None."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.xrange(_stream(job_id), count=1)
        pipe.xrevrange(_stream(job_id), count=1)
        ends = [entry_id.decode() for entries in self._reading.call(pipe.execute) for entry_id, _ in entries]
        return (ends[0], ends[-1]) if ends else None

    def wait_events(self, after: Mapping[str, str], *, block_ms: int) -> list[tuple[str, Event]]:
        """Return the entries of several jobs, each after its stream id, waiting up to `block_ms` for the first."""
        streams: Any = {_stream(job_id): last_id for job_id, last_id in after.items()}
        answer = self._reading.call(lambda: self._redis.xread(streams, count=500, block=block_ms))
        found: Any = answer.items() if isinstance(answer, dict) else answer or ()
        return [(_job_of(stream), event) for stream, entries in found for event in _parsed(_flat(entries))]

    def _page(self, job_id: str, least: str) -> list[Any]:
        page: Any = self._reading.call(lambda: self._redis.xrange(_stream(job_id), min=least, count=_PAGE))
        return list(page)

    def preview(self, job_id: str) -> bytes | None:
        """Return the newest preview, an encoded JPEG, or None."""
        data = self._reading.call(lambda: self._redis.get(_preview(job_id)))
        return data if isinstance(data, bytes) else None


def _newest_of(events: Sequence[Event]) -> Newest:
    """Read events, the newest first."""
    steps = [event.step for event in events if event.step]
    previews = (event.data["step"] for event in events if event.name == "preview")
    losses = [step["losses"]["total"] for step in reversed(steps)]
    return Newest(steps[0] if steps else None, losses, next(previews, None))


def _parsed(entries: Any) -> Iterator[Event]:
    for entry_id, fields in entries:
        yield Event(entry_id.decode(), fields[b"name"].decode(), json.loads(fields[b"data"]))


def _json(data: Mapping[str, Any]) -> str:
    return json.dumps(data, separators=(",", ":"))


def _flat(entries: Any) -> Any:
    """Undo the extra list that redis-py's newer protocol puts around one stream's entries."""
    return entries[0] if entries and isinstance(entries[0], list) else entries


def _stream(job_id: str) -> str:
    return f"atelier:job:{job_id}:progress"


def _job_of(stream: bytes) -> str:
    return stream.decode().split(":")[2]


def _newest(job_id: str) -> str:
    return f"atelier:job:{job_id}:step"


def _preview(job_id: str) -> str:
    return f"atelier:job:{job_id}:preview"


def _cancel(job_id: str) -> str:
    return f"atelier:job:{job_id}:cancel"
