"""The connections that no thread serves, by what they wait for, each with a deadline.

Invariant: the connections of a kind all get the same time, so the first of a kind is both the oldest and the next whose
deadline passes.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from enum import Enum, auto

from api.serving.connection import Connection


class Wait(Enum):
    """What a connection waits for; those that may be closed first to make room come first."""

    #: The peer closes it too.
    END = auto()
    #: The rest of a request's head.
    HEAD = auto()
    #: Another request.
    REQUEST = auto()


class Lobby:
    """The waiting connections of one process; only its poller uses this."""

    def __init__(self, times_s: dict[Wait, float], *, clock: Callable[[], float] = time.monotonic) -> None:
        """Start empty; a connection may wait as long as `times_s` says for its kind."""
        self._times_s, self._clock = times_s, clock
        self._waits: dict[Wait, OrderedDict[Connection, float]] = {wait: OrderedDict() for wait in Wait}
        self._of: dict[Connection, Wait] = {}
        self._latest = math.inf

    def __contains__(self, connection: Connection) -> bool:
        """Say whether a connection waits here."""
        return connection in self._of

    def add(self, connection: Connection, wait: Wait) -> None:
        """Let a connection wait from now on, also one that waited for something else."""
        self.discard(connection)
        self._of[connection] = wait
        self._waits[wait][connection] = min(self._clock() + self._times_s[wait], self._latest)

    def discard(self, connection: Connection) -> Wait | None:
        """Forget a connection; return what it waited for."""
        wait = self._of.pop(connection, None)
        if wait is not None:
            del self._waits[wait][connection]
        return wait

    def wait_of(self, connection: Connection) -> Wait | None:
        """Return what a connection waits for."""
        return self._of.get(connection)

    def oldest(self) -> Connection | None:
        """Return the connection to close first if there is no room for another."""
        return next((next(iter(waits)) for waits in self._waits.values() if waits), None)

    def expired(self) -> Iterator[Connection]:
        """Yield those whose time is over; the caller takes each away before it asks for the next."""
        for waits in self._waits.values():
            while waits and waits[first := next(iter(waits))] <= self._clock():
                yield first

    def next_in_s(self) -> float:
        """Return the time until the next deadline."""
        nexts = [waits[next(iter(waits))] for waits in self._waits.values() if waits]
        return max(0.0, min(nexts, default=math.inf) - self._clock())

    def close_within(self, limit_s: float) -> None:
        """Let no connection wait longer than this, neither these nor later ones."""
        self._latest = self._clock() + limit_s
        for waits in self._waits.values():
            for connection, deadline in waits.items():
                waits[connection] = min(deadline, self._latest)

    def all(self) -> list[Connection]:
        """Return all of them."""
        return list(self._of)
