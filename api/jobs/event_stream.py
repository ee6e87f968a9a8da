"""A job's life as Server-Sent Events: `state`, `step`, `preview`, `gap`, `end`.

Ids are those of the Redis stream, so `Last-Event-ID` resumes where a client was: events kept after it are read once,
and from then on the hub pushes new ones. The database supplies the state at the start, each change of state that Redis
does not report, and the last step while Redis is down. The id of `end` is `end`: a client that returns with it has seen
everything, and browsers return unless the answer is 204.

Invariant: no database transaction is open while a stream waits, and each stream ends after `end` or after its lifetime.
"""

import re
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

from redis import RedisError

from api.live.hub import Hub
from api.live.subscriber import END_ID, JobRow, Notification, PublishedEvent, Signal, Subscriber, format_event
from shared.errors import DatabaseUnavailable
from shared.messaging.progress import Event, RedisProgress
from shared.states import TERMINAL

#: How long a stream is silent before it sends a comment to stay alive, in seconds.
_HEARTBEAT_S = 15.0
#: A comment without the empty line that ends an event: some parsers see an empty event there.
_HEARTBEAT = ": alive\n"
#: When a client is to reconnect to a stream that has reached its lifetime, in milliseconds.
_RETRY_MS = 1000
_STREAM_ID = re.compile(r"\d{1,20}-\d{1,20}")


def event_stream(
    hub: Hub,
    progress: RedisProgress,
    job_id: str,
    row: JobRow,
    last_id: str | None,
    *,
    lifetime_s: float,
    hang_up: Callable[[], None] | None = None,
) -> Generator[str, None, None]:
    """Yield as text what happens to a job after the event `last_id`, until the job ends or `lifetime_s` is over.

    `row` is used while the database is unavailable. `hang_up` cuts the connection of a client that stops reading, for
    which a thread would otherwise wait without end.
    """
    deadline = time.monotonic() + lifetime_s
    with hub.subscribe(job_id, Subscriber(until=deadline + _HEARTBEAT_S, hang_up=hang_up)) as subscriber:
        last_id = last_id if last_id and _STREAM_ID.fullmatch(last_id) else None
        stream = _EventStream(hub, progress, job_id, row, last_id)
        texts = _with_retry(stream.replay())
        spoke_at = time.monotonic()
        while True:
            for text in texts:
                spoke_at = time.monotonic()
                yield text
            if stream.ended or subscriber.dropped or time.monotonic() >= deadline:
                return
            if time.monotonic() - spoke_at >= _HEARTBEAT_S:
                spoke_at = time.monotonic()
                yield _HEARTBEAT
            until = min(spoke_at + _HEARTBEAT_S, deadline)
            texts = stream.on_notifications(subscriber.drain(until - time.monotonic()))


def has_ended(row: JobRow, last_id: str | None) -> bool:
    """Say whether a client that returns with `last_id` has seen the `end` of a job."""
    return last_id == END_ID and row.state in TERMINAL


def _with_retry(texts: Iterator[str]) -> Iterator[str]:
    """Put when to reconnect at the head of the first event: in a block of its own, some parsers see an empty event."""
    prefix = f"retry: {_RETRY_MS}\n"
    for text in texts:
        yield prefix + text
        prefix = ""


class _EventStream:
    """What one client has been sent, and what comes next."""

    def __init__(self, hub: Hub, progress: RedisProgress, job_id: str, row: JobRow, last_id: str | None) -> None:
        self._hub, self._progress, self._job_id = hub, progress, job_id
        self._row = row
        #: The id last sent, the state last sent, and the step last sent while Redis was down.
        self._last_id = last_id
        self._state: dict[str, Any] | None = None
        self._step: int | None = None
        #: Where the client resumes, until it is known whether anything after it is lost.
        self._resumed_from = last_id
        #: Whether the kept history has been read.
        self._caught_up = False
        self.ended = False

    def replay(self) -> Iterator[str]:
        """Send the job's state, and the history kept after the client's position."""
        try:
            row = self._hub.rows([self._job_id]).get(self._job_id, Signal.DELETED)
        except DatabaseUnavailable:
            row = self._row
        yield from self._on_row(row)

    def on_notifications(self, notifications: list[Notification]) -> Iterator[str]:
        """Send what the hub has pushed."""
        for each in notifications:
            if isinstance(each, PublishedEvent):
                yield from self._catch_up()
                yield from self._send(each.event, each.text)
            elif each is Signal.BEHIND:
                self._caught_up = False
                yield from self._catch_up()
            else:
                yield from self._on_row(each)
            if self.ended:
                return

    def _on_row(self, row: JobRow | Signal) -> Iterator[str]:
        """Send what the database says of the job now; without a row, that it was deleted."""
        if isinstance(row, Signal):
            yield from self._end("deleted")
            return
        self._row = row
        yield from self._new_state(row)
        yield from self._catch_up()
        yield from self._finish()

    def _catch_up(self) -> Iterator[str]:
        """Read the history kept after the client's position, once; while Redis is down, send the last step instead."""
        if self._caught_up:
            return
        try:
            yield from self._gap()
            for event in self._progress.events(self._job_id, self._last_id or ""):
                yield from self._send(event, format_event(event))
        except RedisError:
            yield from self._last_step()
            return
        self._caught_up = True

    def _gap(self) -> Iterator[str]:
        """Say if history after the client's position was trimmed or lost, and start with the oldest that is kept."""
        if self._resumed_from is None:
            return
        kept = self._progress.span(self._job_id)
        last_id, self._resumed_from = self._resumed_from, None
        if kept is None or not _order(kept[0]) <= _order(last_id) <= _order(kept[1]):
            self._last_id = None
            yield format_event(Event("", "gap", {"from": last_id, "to": kept[0] if kept else None}))

    def _send(self, event: Event, text: str) -> Iterator[str]:
        if self._last_id is not None and _order(event.id) <= _order(self._last_id):
            return
        self._last_id = event.id
        if event.name == "state":
            self._state = {"state": event.data.get("state"), "attempt": event.data.get("attempt")}
        self.ended = event.name == "end"
        yield text

    def _new_state(self, row: JobRow) -> Iterator[str]:
        """Send the database's state, if it is new; `end` says which terminal state a job reached."""
        state = {"state": row.state, "attempt": row.attempt}
        if row.state not in TERMINAL and self._state != state:
            self._state = state
            yield format_event(Event("", "state", state))

    def _finish(self) -> Iterator[str]:
        """Send the rest of a job that has ended, and its `end`."""
        if self.ended or self._row.state not in TERMINAL:
            return
        self._caught_up = False
        yield from self._catch_up()
        if not self.ended:
            yield from self._end(self._row.state)

    def _end(self, state: str) -> Iterator[str]:
        self.ended = True
        yield format_event(Event("", "end", {"state": state}))

    def _last_step(self) -> Iterator[str]:
        progress = self._row.progress
        if progress and progress["step"] != self._step:
            self._step = progress["step"]
            yield format_event(Event("", "step", progress))


def _order(event_id: str) -> tuple[int, int]:
    milliseconds, _, number = event_id.partition("-")
    return int(milliseconds), int(number)
