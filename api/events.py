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
from typing import Any

from redis import RedisError

from api.services import Services
from shared.db import queries
from shared.db.models import Job
from shared.progress import Event
from shared.states import TERMINAL

#: How long one read of the stream waits, in milliseconds; also how often the database is asked meanwhile.
_BLOCK_MS = 1000
#: A silent stream says that it lives, in seconds.
_HEARTBEAT_S = 15.0
#: How soon a client shall come back to a stream that reached its life's end, in milliseconds.
_RETRY_MS = 1000
_STREAM_ID = re.compile(r"\d{1,20}-\d{1,20}")


def event_stream(services: Services, job_id: str, last_id: str | None) -> Iterator[str]:
    """Yield a job's events after `last_id` as text, until it has ended or the stream's life is over."""
    after = last_id if last_id and _STREAM_ID.fullmatch(last_id) else "0"
    deadline = time.monotonic() + services.settings.stream_life_s
    heard_at = time.monotonic()
    told: dict[str, Any] = {}
    yield f"retry: {_RETRY_MS}\n\n"
    while time.monotonic() < deadline:
        job = _load(services, job_id)
        events, away = _read(services, job_id, after)
        if not any(event.name == "end" for event in events):
            events = [*_from_database(job, told, away=away), *events]
        for event in events:
            after = event.id or after
            heard_at = time.monotonic()
            if event.name == "state":
                told["state"] = event.data
            yield format_event(event)
            if event.name == "end":
                return
        if not events and job.state in TERMINAL:
            yield format_event(Event("", "end", {"state": job.state}))
            return
        if time.monotonic() - heard_at > _HEARTBEAT_S:
            heard_at = time.monotonic()
            yield ": alive\n\n"
        if away:
            time.sleep(_BLOCK_MS / 1000)


def format_event(event: Event) -> str:
    """Write one event; one made from the database has no id, so that it never moves a client's place."""
    lines = [f"event: {event.name}", f"data: {json.dumps(event.data, separators=(',', ':'))}"]
    return "\n".join([f"id: {event.id}", *lines] if event.id else lines) + "\n\n"


def _load(services: Services, job_id: str) -> Job:
    with services.database.reading() as session:
        return queries.job(session, job_id)


def _read(services: Services, job_id: str, after: str) -> tuple[list[Event], bool]:
    """Wait for the next entries; say whether Redis is away."""
    try:
        return services.live.wait_events(job_id, after, block_ms=_BLOCK_MS), False
    except RedisError:
        return [], True


def _from_database(job: Job, told: dict[str, Any], *, away: bool) -> Iterator[Event]:
    """Tell the state when it is new, and, while Redis is away, the last step that the database knows."""
    state = {"state": job.state, "attempt": job.attempt}
    if told.get("state") != state and job.state not in TERMINAL:
        yield Event("", "state", state)
    if away and job.progress and told.get("step") != job.progress["step"]:
        told["step"] = job.progress["step"]
        yield Event("", "step", job.progress)
