"""A job's life as Server-Sent Events: `state`, `step`, `preview`, `gap`, `end`.

Ids are those of the Redis stream, so `Last-Event-ID` resumes where a client was: what is kept after it is read once,
and from there on the hub tells. The database tells the state at the start, each change that Redis does not tell,
and while Redis is away the last step.

Invariant: no database transaction is open while a stream waits, and each stream ends after `end` or its life.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

from redis import RedisError

from api.live import Follower, Row, Told, format_event
from api.services import Services
from shared.progress import Event
from shared.states import TERMINAL, State

#: Longest wait for news before the stream looks at its own age, in seconds.
_TICK_S = 1.0
#: A silent stream says that it lives, in seconds.
_HEARTBEAT_S = 15.0
#: How soon a client shall come back to a stream that reached its life's end, in milliseconds.
_RETRY_MS = 1000
_STREAM_ID = re.compile(r"\d{1,20}-\d{1,20}")


def event_stream(services: Services, job_id: str, row: Row, last_id: str | None) -> Iterator[str]:
    """Yield what happens to a job that is at `row` after `last_id`, as text, until it or the stream's life ends."""
    deadline = time.monotonic() + services.settings.stream_life_s
    heard_at = time.monotonic()
    yield f"retry: {_RETRY_MS}\n\n"
    with services.hub.follow(job_id) as follower:
        story = _Story(services, job_id, row, last_id if last_id and _STREAM_ID.fullmatch(last_id) else None)
        texts = story.beginning()
        while True:
            for text in texts:
                heard_at = time.monotonic()
                yield text
            if story.over or follower.lost or time.monotonic() >= deadline:
                return
            if time.monotonic() - heard_at > _HEARTBEAT_S:
                heard_at = time.monotonic()
                yield ": alive\n\n"
            texts = story.goes_on(follower)


class _Story:
    """What one client was told of a job, and what comes next."""

    def __init__(self, services: Services, job_id: str, row: Row, last_id: str | None) -> None:
        self._progress, self._job_id = services.progress, job_id
        self._row = row
        self._resumed_from = last_id
        #: The last id told, state told, and step told without Redis.
        self._after = last_id
        self._state: dict[str, Any] | None = None
        self._step: int | None = None
        #: Whether what was kept before has been read.
        self._caught_up = False
        self.over = False

    def beginning(self) -> Iterator[str]:
        """Tell where the job is, and what is kept of it."""
        yield from self._new_state(self._row)
        yield from self._catch_up()
        yield from self._settled()

    def goes_on(self, follower: Follower) -> Iterator[str]:
        """Wait for news and tell them."""
        for news in follower.hear(_TICK_S):
            if isinstance(news, Told):
                if not self._caught_up:
                    yield from self._catch_up()
                yield from self._told(news.event, news.text)
            elif news is None:
                yield from self._end("deleted")
            else:
                self._row = news
                yield from self._catch_up()
                yield from self._new_state(news)
                yield from self._settled()
            if self.over:
                return

    def _catch_up(self) -> Iterator[str]:
        """Read what is kept after the client's place, once; while Redis is away, tell the database's last step."""
        if self._caught_up:
            return
        try:
            if self._resumed_from is not None and not self._progress.keeps(self._job_id, self._resumed_from):
                yield from self._gap(self._resumed_from)
            kept = list(self._progress.events(self._job_id, self._after or "-"))
        except RedisError:
            yield from self._last_step()
            return
        self._caught_up = True
        for event in kept:
            yield from self._told(event, format_event(event))

    def _gap(self, last_id: str) -> Iterator[str]:
        """Say that the history after the client's place is not whole, and begin with what is kept."""
        self._resumed_from, self._after = None, None
        first = next(self._progress.events(self._job_id), None)
        if first is None or _order(first.id) > _order(last_id):
            yield format_event(Event("", "gap", {"from": last_id, "to": first.id if first else None}))
        else:
            self._after = last_id

    def _told(self, event: Event, text: str) -> Iterator[str]:
        if self._after is not None and _order(event.id) <= _order(self._after):
            return
        self._after = event.id
        if event.name == "state":
            self._state = {"state": event.data.get("state"), "attempt": event.data.get("attempt")}
        self.over = event.name == "end"
        yield text

    def _new_state(self, row: Row) -> Iterator[str]:
        """Tell the state as the database has it, if it is new; Redis tells that a job runs, `end` that it has ended."""
        if row.state in TERMINAL:
            return
        state = {"state": row.state, "attempt": row.attempt}
        if self._state is None or (self._state != state and row.state != State.RUNNING):
            self._state = state
            yield format_event(Event("", "state", state))

    def _settled(self) -> Iterator[str]:
        """Tell what is left of a job that has ended, and that it has."""
        if self.over or self._row.state not in TERMINAL:
            return
        self._caught_up = False
        yield from self._catch_up()
        if not self.over:
            yield from self._end(self._row.state)

    def _end(self, state: str) -> Iterator[str]:
        self.over = True
        yield format_event(Event("", "end", {"state": state}))

    def _last_step(self) -> Iterator[str]:
        progress = self._row.progress
        if progress and progress["step"] != self._step:
            self._step = progress["step"]
            yield format_event(Event("", "step", progress))


def _order(event_id: str) -> tuple[int, int]:
    milliseconds, _, number = event_id.partition("-")
    return int(milliseconds), int(number)
