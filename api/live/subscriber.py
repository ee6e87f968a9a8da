"""One who follows a job, and what it may be told.

Limits: a follower that lags by `_WAITING` news is dropped and its connection cut, so that a client that does not
read holds no thread; it comes back with the last id that it has.

Invariant: whoever is dropped is told nothing more, so that what a follower hears has no hole.
"""

from __future__ import annotations

import json
import math
import queue
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from typing import NamedTuple

from shared.messaging.progress import Event
from shared.painting.steps import Step

#: News that a follower may lag behind.
_WAITING = 2000


class Row(NamedTuple):
    """Where a job is, as the database has it."""

    state: str
    attempt: int
    progress: Step | None


class Told(NamedTuple):
    """An event, and how it is written to clients."""

    event: Event
    text: str


class Sign(Enum):
    """What is told without more words."""

    #: The job is no longer there.
    DELETED = auto()
    #: Redis was away: what is kept has to be read again from the last id told.
    BEHIND = auto()


News = Told | Row | Sign


class Follower:
    """One who follows a job; one thread tells and another hears."""

    def __init__(self, *, until: float = math.inf, hang_up: Callable[[], None] | None = None) -> None:
        """Have heard nothing. From `until` on, by the monotonic clock, it may be dropped; `hang_up` cuts its client."""
        self.until = until
        self.dropped = False
        self._hang_up = hang_up
        self._waiting: queue.Queue[News] = queue.Queue(_WAITING)

    def hear(self, timeout_s: float) -> list[News]:
        """Wait for news up to `timeout_s`; return all there are, oldest first."""
        try:
            heard = [self._waiting.get(timeout=max(0.0, timeout_s))]
        except queue.Empty:
            return []
        with suppress(queue.Empty):
            while True:
                heard.append(self._waiting.get_nowait())
        return heard

    def tell(self, news: News) -> None:
        """Hand over news; one who has too many waiting is dropped."""
        if self.dropped:
            return
        try:
            self._waiting.put_nowait(news)
        except queue.Full:
            self.drop()

    def drop(self) -> None:
        """Tell no more and cut the client, which may hold its thread by not reading."""
        self.dropped = True
        if self._hang_up:
            self._hang_up()

    def end(self) -> None:
        """Tell no more and wake, so that the stream ends in good order."""
        self.dropped = True
        with suppress(queue.Full):
            self._waiting.put_nowait(Sign.BEHIND)


def format_event(event: Event) -> str:
    """Write one event; one made from the database has no id, so that it never moves a client's place."""
    lines = [f"event: {event.name}", f"data: {json.dumps(event.data, separators=(',', ':'))}"]
    return "\n".join([f"id: {event.id}", *lines] if event.id else lines) + "\n\n"
