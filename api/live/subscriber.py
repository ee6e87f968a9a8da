"""A subscriber to a job: the queue of notifications between the hub and one client.

Limits: a subscriber that falls `_CAPACITY` notifications behind is dropped and its connection cut, so that a client
that stops reading never holds a thread. It reconnects with the last event id that it has.

Invariant: a dropped subscriber receives nothing more, so that what it has received has no gap.
"""

import json
import math
import queue
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from typing import NamedTuple

from shared.messaging.progress import Event
from shared.painting.steps import Step

#: The id of every `end` event, whoever reports it: nothing follows, so no position in a history is needed.
END_ID = "end"
#: Notifications that may wait for one subscriber.
_CAPACITY = 2000


class JobRow(NamedTuple):
    """What the database says of a job that is followed."""

    state: str
    attempt: int
    progress: Step | None


class PublishedEvent(NamedTuple):
    """An event from Redis, and its text as clients receive it."""

    event: Event
    text: str


class Signal(Enum):
    """A notification without data."""

    #: The job was deleted.
    DELETED = auto()
    #: Redis was unavailable: read its history again, from the last event id received.
    BEHIND = auto()


Notification = PublishedEvent | JobRow | Signal


class Subscriber:
    """One subscriber; one thread pushes and another drains."""

    def __init__(self, *, until: float = math.inf, hang_up: Callable[[], None] | None = None) -> None:
        """Start empty. From `until` on, by the monotonic clock, it may be dropped; `hang_up` cuts its connection."""
        self.until = until
        self.dropped = False
        self._hang_up = hang_up
        self._pending: queue.Queue[Notification] = queue.Queue(_CAPACITY)

    def drain(self, timeout_s: float) -> list[Notification]:
        """Wait up to `timeout_s` for a notification; return all that are pending, oldest first."""
        try:
            drained = [self._pending.get(timeout=max(0.0, timeout_s))]
        except queue.Empty:
            return []
        with suppress(queue.Empty):
            while True:
                drained.append(self._pending.get_nowait())
        return drained

    def push(self, notification: Notification) -> None:
        """Add a notification; drop the subscriber if its queue is full."""
        if self.dropped:
            return
        try:
            self._pending.put_nowait(notification)
        except queue.Full:
            self.drop()

    def drop(self) -> None:
        """Push nothing more and cut the connection, which may hold its thread by not reading."""
        self.dropped = True
        if self._hang_up:
            self._hang_up()

    def end(self) -> None:
        """Push nothing more and wake the reader, so that its stream ends in good order."""
        self.dropped = True
        with suppress(queue.Full):
            self._pending.put_nowait(Signal.BEHIND)


def format_event(event: Event) -> str:
    """Format a Server-Sent Event; one from the database, unless an `end`, has no id, so the client's position stays."""
    event_id = END_ID if event.name == "end" else event.id
    lines = [f"event: {event.name}", f"data: {json.dumps(event.data, separators=(',', ':'))}"]
    return "\n".join([f"id: {event_id}", *lines] if event_id else lines) + "\n\n"
