"""A client that talks to a scripted server, and a sleep that takes no time."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from api.client import Client
from tests.support.scripted_server import Answer, ScriptedServer, serving


class Naps(list[float]):
    """A sleep that only remembers; also a clock that goes on by it."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)

    def clock(self) -> float:
        return sum(self)


@contextmanager
def talking(*answers: Answer, **options: Any) -> Iterator[tuple[ScriptedServer, Client]]:
    """A server that gives these answers, and a client of it."""
    with serving(*answers) as server, Client(server.url, **options) as client:
        yield server, client
