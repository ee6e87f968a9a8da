"""A job's life as Server-Sent Events: `state`, `step`, `preview`, `gap`, `end`.

Ids are those of the Redis stream, so `Last-Event-ID` resumes where a client was. Redis tells the steps; the
database tells the state at the start, when Redis is silent, and whenever Redis is away.

Invariant: no database transaction is open while a stream waits, and each stream ends after `end` or its life.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from redis import RedisError

from api.services import Services
from shared.db import queries
from shared.db.models import Job
from shared.progress import Event
from shared.states import TERMINAL, State

#: How long one read of the stream waits, in milliseconds; also how often the database is asked meanwhile.
_BLOCK_MS = 1000
#: A silent stream says that it lives, in seconds.
_HEARTBEAT_S = 15.0
#: How soon a client shall come back to a stream that reached its life's end, in milliseconds.
_RETRY_MS = 1000
_STREAM_ID = re.compile(r"\d{1,20}-\d{1,20}")


@dataclass
class _Place:
    """How far a client is: the last stream id, state and step it was told."""

    after: str
    state: dict[str, Any] | None = None
    step: int | None = None


def event_stream(services: Services, job_id: str, last_id: str | None) -> Iterator[str]:
    """Yield a job's events after `last_id` as text, until it has ended or the stream's life is over."""
    place = _Place(last_id if last_id and _STREAM_ID.fullmatch(last_id) else "0")
    deadline = time.monotonic() + services.settings.stream_life_s
    heard_at = time.monotonic()
    yield f"retry: {_RETRY_MS}\n\n"
    while time.monotonic() < deadline:
        for event in _next_events(services, job_id, place):
            heard_at = time.monotonic()
            yield format_event(event)
            if event.name == "end":
                return
        if time.monotonic() - heard_at > _HEARTBEAT_S:
            heard_at = time.monotonic()
            yield ": alive\n\n"


def format_event(event: Event) -> str:
    """Write one event; one made from the database has no id, so that it never moves a client's place."""
    lines = [f"event: {event.name}", f"data: {json.dumps(event.data, separators=(',', ':'))}"]
    return "\n".join([f"id: {event.id}", *lines] if event.id else lines) + "\n\n"


def _next_events(services: Services, job_id: str, place: _Place) -> list[Event]:
    """Wait for what is new, up to `_BLOCK_MS`, and move `place` behind it."""
    with services.database.reading() as session:
        job = queries.job(session, job_id)
    try:
        events = services.live.wait_events(job_id, place.after, block_ms=_BLOCK_MS)
    except RedisError:
        events = list(_last_step(job, place))
        time.sleep(0 if events or job.state in TERMINAL else _BLOCK_MS / 1000)
    for event in events:
        place.after = event.id or place.after
        if event.name == "state":
            place.state = event.data
    if job.state in TERMINAL:
        return events or [Event("", "end", {"state": job.state})]
    return [*_new_state(job, place), *events]


def _new_state(job: Job, place: _Place) -> Iterator[Event]:
    """Tell the state as the database has it, if it is new."""
    state = {"state": job.state, "attempt": job.attempt}
    if place.state is None or (place.state != state and job.state != State.RUNNING):
        place.state = state
        yield Event("", "state", state)


def _last_step(job: Job, place: _Place) -> Iterator[Event]:
    """Tell the last step that the database knows, while Redis is away."""
    if job.progress and job.progress["step"] != place.step:
        place.step = job.progress["step"]
        yield Event("", "step", job.progress)
