"""A job's life as Server-Sent Events: `state`, `step`, `preview`, `gap`, `end`.

Ids are those of the Redis stream, so `Last-Event-ID` resumes where a client was: what is kept after it is read once,
and from there on the hub tells. The database tells the state at the start, each change that Redis does not tell,
and while Redis is away the last step.

Invariant: no database transaction is open while a stream waits, and each stream ends after `end` or its life.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

from redis import RedisError

from api.live.subscriber import Follower, News, Row, Sign, Told, format_event
from api.services import Services
from shared.errors import DatabaseUnavailable
from shared.messaging.progress import Event
from shared.states import TERMINAL

#: A silent stream says that it lives, in seconds.
_HEARTBEAT_S = 15.0
#: How soon a client shall come back to a stream that reached its life's end, in milliseconds.
_RETRY_MS = 1000
_STREAM_ID = re.compile(r"\d{1,20}-\d{1,20}")


def event_stream(
    services: Services, job_id: str, row: Row, last_id: str | None, *, hang_up: Callable[[], None] | None = None
) -> Iterator[str]:
    """Yield what happens to a job that was at `row` after `last_id`, as text, until it or the stream's life ends.

    `hang_up` cuts the client: for one that reads nothing, whose thread would wait for it for ever.
    """
    deadline = time.monotonic() + services.settings.stream_life_s
    yield f"retry: {_RETRY_MS}\n\n"
    with services.hub.follow(job_id, Follower(until=deadline + _HEARTBEAT_S, hang_up=hang_up)) as follower:
        story = _Story(services, job_id, row, last_id if last_id and _STREAM_ID.fullmatch(last_id) else None)
        texts = story.beginning()
        heard_at = time.monotonic()
        while True:
            for text in texts:
                heard_at = time.monotonic()
                yield text
            if story.over or follower.dropped or time.monotonic() >= deadline:
                return
            if time.monotonic() - heard_at >= _HEARTBEAT_S:
                heard_at = time.monotonic()
                yield ": alive\n\n"
            texts = story.goes_on(follower.hear(min(heard_at + _HEARTBEAT_S, deadline) - time.monotonic()))


class _Story:
    """What one client was told of a job, and what comes next."""

    def __init__(self, services: Services, job_id: str, row: Row, last_id: str | None) -> None:
        self._services, self._job_id = services, job_id
        self._row = row
        #: The last id told, state told, and step told without Redis.
        self._after = last_id
        self._state: dict[str, Any] | None = None
        self._step: int | None = None
        #: The client's place at first, until it was looked for in what is kept.
        self._resumed_from = last_id
        #: Whether what was kept before has been read.
        self._caught_up = False
        self.over = False

    def beginning(self) -> Iterator[str]:
        """Tell where the job is, and what is kept of it."""
        try:
            row = self._services.hub.rows([self._job_id]).get(self._job_id, Sign.DELETED)
        except DatabaseUnavailable:
            row = self._row
        yield from self._placed(row)

    def goes_on(self, heard: list[News]) -> Iterator[str]:
        """Tell news."""
        for news in heard:
            if isinstance(news, Told):
                yield from self._catch_up()
                yield from self._told(news.event, news.text)
            elif news is Sign.BEHIND:
                self._caught_up = False
                yield from self._catch_up()
            else:
                yield from self._placed(news)
            if self.over:
                return

    def _placed(self, row: Row | Sign) -> Iterator[str]:
        """Tell where the job is now, as the database has it; nothing is there of one that is deleted."""
        if isinstance(row, Sign):
            yield from self._end("deleted")
            return
        self._row = row
        yield from self._new_state(row)
        yield from self._catch_up()
        yield from self._settled()

    def _catch_up(self) -> Iterator[str]:
        """Read what is kept after the client's place, once; while Redis is away, tell the database's last step."""
        if self._caught_up:
            return
        try:
            yield from self._gap()
            for event in self._services.progress.events(self._job_id, self._after or ""):
                yield from self._told(event, format_event(event))
        except RedisError:
            yield from self._last_step()
            return
        self._caught_up = True

    def _gap(self) -> Iterator[str]:
        """Say if the history was trimmed or wiped after the client's place, and begin with what is kept."""
        if self._resumed_from is None:
            return
        kept = self._services.progress.span(self._job_id)
        last_id, self._resumed_from = self._resumed_from, None
        if kept is None or not _order(kept[0]) <= _order(last_id) <= _order(kept[1]):
            self._after = None
            yield format_event(Event("", "gap", {"from": last_id, "to": kept[0] if kept else None}))

    def _told(self, event: Event, text: str) -> Iterator[str]:
        if self._after is not None and _order(event.id) <= _order(self._after):
            return
        self._after = event.id
        if event.name == "state":
            self._state = {"state": event.data.get("state"), "attempt": event.data.get("attempt")}
        self.over = event.name == "end"
        yield text

    def _new_state(self, row: Row) -> Iterator[str]:
        """Tell the state as the database has it, if it is new; that the job has ended, `end` tells."""
        state = {"state": row.state, "attempt": row.attempt}
        if row.state not in TERMINAL and self._state != state:
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
