"""Following a job's Server-Sent Events through lost connections.

A stream that breaks or that the server closes is reopened with `Last-Event-ID`, so that no event is missed or
delivered twice. Only consecutive attempts that bring nothing count towards giving up: a stream may live for days.

Invariant: iteration ends after `end` or raises. Iterating again after an error continues where it stopped.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import httpx

from .models import ApiProblem, Event, Unreachable
from .retries import is_transient, requested_delay_s

#: First pause before the stream is reopened, doubled after each attempt that brings nothing, in seconds.
_FIRST_DELAY_S = 0.25

#: Opens the stream after the event with that id, or raises.
OpenStream = Callable[[str | None], AbstractContextManager[httpx.Response]]


def parse(lines: Iterable[str], on_activity: Callable[[], None] = lambda: None) -> Iterator[Event]:
    """Read events from the lines of a stream; call `on_activity` for each event and each heartbeat comment.

    An event cut short by the end of the connection is dropped, as the standard says. Source: HTML, section 9.2.6.
    """
    name, last_id, data = "message", "", list[str]()
    for line in lines:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                on_activity()
                yield Event(last_id, name, _object("\n".join(data)))
            name, data = "message", []
        elif not field:
            on_activity()
        elif field == "event":
            name = value
        elif field == "data":
            data.append(value)
        elif field == "id":
            last_id = value


def _object(text: str) -> dict[str, Any]:
    value = json.loads(text)
    return value if isinstance(value, dict) else {"value": value}


class EventStream:
    """Iterates over one job's events, reopening the stream as often as necessary."""

    def __init__(
        self,
        open_stream: OpenStream,
        *,
        attempts: int,
        sleep: Callable[[float], None],
        on_activity: Callable[[], None] = lambda: None,
    ) -> None:
        """Give up after `attempts` in a row that bring nothing; call `on_activity` for every sign of life."""
        self._open, self._attempts, self._sleep, self._on_activity = open_stream, attempts, sleep, on_activity
        self._fruitless = 0
        self._last_id: str | None = None

    def __iter__(self) -> Iterator[Event]:
        """Yield each event once, up to and including `end`; raise `Unreachable` or `ApiProblem`."""
        self._fruitless = 0
        while True:
            self._fruitless += 1
            try:
                for event in self._read_one_stream():
                    yield event
                    if event.name == "end":
                        return
                cause: Exception | None = None
            except (httpx.TransportError, ApiProblem) as error:
                cause = error
            self._sleep(self._delay_s(cause))

    def _delay_s(self, cause: Exception | None) -> float:
        """Return how long to wait before reopening the stream; raise if that cannot help."""
        if cause is not None and not is_transient(cause):
            raise cause
        if self._fruitless >= self._attempts:
            raise Unreachable(f"The event stream broke; {self._attempts} attempts to reopen it failed.") from cause
        return max(requested_delay_s(cause) if cause else 0.0, _FIRST_DELAY_S * 2.0**self._fruitless)

    def _read_one_stream(self) -> Iterator[Event]:
        with self._open(self._last_id) as response:
            for event in parse(response.iter_lines(), self._note_activity):
                self._last_id = event.id or self._last_id
                yield event

    def _note_activity(self) -> None:
        self._fruitless = 0
        self._on_activity()
