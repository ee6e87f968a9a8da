"""Following a job's Server-Sent Events through lost connections.

A stream that breaks or is closed by the server is opened again with `Last-Event-ID`, so that no event is
missed or given twice. Only attempts that bring nothing at all are counted: a stream may live for days, and
a server that is gone is noticed after a few attempts.

Invariant: the iterator ends after `end` or raises; it never ends early without saying so. After it raised it may be
begun again, and goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import httpx

from api.client.models import ApiProblem, Event, Unreachable
from api.client.transport import passes

#: First wait before opening the stream again, doubled after each fruitless attempt, in seconds.
_FIRST_DELAY_S = 0.25

#: Opens the stream after the event of that id, or raises.
Open = Callable[[str | None], AbstractContextManager[httpx.Response]]


def parse(lines: Iterable[str], heard: Callable[[], None] = lambda: None) -> Iterator[Event]:
    """Read events from the lines of a stream; call `heard` for each event and for each heartbeat comment.

    An event that the connection's end cut short is dropped, as the standard says. Source: HTML, section 9.2.6.
    """
    name, last_id, data = "message", "", list[str]()
    for line in lines:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                heard()
                yield Event(last_id, name, _object("\n".join(data)))
            name, data = "message", []
        elif not field:
            heard()
        elif field == "event":
            name = value
        elif field == "data":
            data.append(value)
        elif field == "id":
            last_id = value


def _object(text: str) -> dict[str, Any]:
    value = json.loads(text)
    return value if isinstance(value, dict) else {"value": value}


class Follower:
    """Iterates over one job's events, opening the stream as often as it takes."""

    def __init__(
        self,
        open_stream: Open,
        *,
        attempts: int,
        sleep: Callable[[float], None],
        heard: Callable[[], None] = lambda: None,
    ) -> None:
        """Give up after `attempts` in a row that bring nothing; call `heard` whenever the server says something."""
        self._open, self._attempts, self._sleep, self._told = open_stream, attempts, sleep, heard
        self._fruitless = 0
        self._last_id: str | None = None

    def __iter__(self) -> Iterator[Event]:
        """Yield each event once, up to and including `end`; raise `Unreachable`, or the server's refusal."""
        self._fruitless = 0
        while True:
            self._fruitless += 1
            try:
                for event in self._events_of_one_stream():
                    yield event
                    if event.name == "end":
                        return
                cause: Exception | None = None
            except (httpx.TransportError, ApiProblem) as error:
                cause = error
            self._sleep(self._pause_s(cause))

    def _pause_s(self, cause: Exception | None) -> float:
        """Say when to open the stream again; raise if that is hopeless."""
        asked_s = 0.0
        if isinstance(cause, ApiProblem):
            if not passes(cause):
                raise cause
            asked_s = cause.retry_after or 0.0
        if self._fruitless >= self._attempts:
            raise Unreachable(f"The event stream broke and {self._attempts} attempts brought nothing.") from cause
        return max(asked_s, _FIRST_DELAY_S * 2.0**self._fruitless)

    def _events_of_one_stream(self) -> Iterator[Event]:
        with self._open(self._last_id) as response:
            for event in parse(response.iter_lines(), self._heard):
                self._last_id = event.id or self._last_id
                yield event

    def _heard(self) -> None:
        self._fruitless = 0
        self._told()
