"""Clients that stall in every way, for as long as they are told to; whoever is ended comes back soon.

`python -m tests.benchmarks.stalling` reads what to do as JSON from stdin and prints how long each client was borne.
"""

import json
import os
import select
import socket
import sys
import time
from collections import defaultdict
from typing import NamedTuple
from urllib.parse import urlsplit

_HEAD = "POST /v1/images HTTP/1.1\r\nHost: bench\r\nContent-Type: image/png\r\n"
_BODIES = ("Content-Length: 10000\r\n\r\nx", "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
#: Answers of some megabytes that one asks for and does not read: more than the buffers of both sides hold.
_UNREAD = 3
#: What the system receives for one that does not read, in bytes.
_BUFFER = 4096
#: Time between two bytes of those that dribble, and time until one that was ended comes back, in seconds.
_DRIBBLE_S, _BACK_S = 1.0, 2.0


class Kind(NamedTuple):
    """A way to stall: what is sent at once, then what again and again, and whether answers are read."""

    name: str
    first: bytes
    more: bytes = b""
    reads: bool = True


class Client(NamedTuple):
    """A client that stalls since a moment."""

    kind: Kind
    socket: socket.socket
    since: float


def kinds(key: str, large: str, heads: int, bodies: int, readers: int) -> list[Kind]:
    """Return what each client does: half of them are silent, half of the bodies have a key, `large` is not read."""
    known = f"Authorization: Bearer {key}\r\n"
    made = [Kind("head", _HEAD.encode(), b"x" if number % 2 else b"") for number in range(heads)]
    for number in range(bodies):
        name, head = ("body", _HEAD + known) if number % 2 else ("body without a key", _HEAD)
        body, more = _BODIES[number // 2 % 2], b"1\r\nx\r\n" if number // 4 % 2 else b""
        made.append(Kind(name, (head + body).encode(), more))
    asked = f"GET {large} HTTP/1.1\r\nHost: bench\r\n{known}\r\n".encode()
    return made + [Kind("reader", _UNREAD * asked, reads=False) for _ in range(readers)]


class Crowd:
    """All of them, in one thread."""

    def __init__(self, url: str) -> None:
        """Stall the server at `url`."""
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 80)
        self._events = select.epoll()
        self._clients: dict[int, Client] = {}
        self._pending: list[tuple[float, Kind]] = []
        self.borne_s: dict[str, list[float]] = defaultdict(list)

    def connect(self, kind: Kind) -> None:
        """Open a connection and begin; a refused one is tried again soon."""
        made = socket.socket()
        if not kind.reads:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        made.settimeout(30)
        try:
            made.connect(self._address)
            made.setblocking(False)
            made.send(kind.first)
        except OSError:
            made.close()
            self._pending.append((time.monotonic() + _BACK_S, kind))
            return
        self._clients[made.fileno()] = Client(kind, made, time.monotonic())
        self._events.register(made, select.EPOLLIN if kind.reads else 0)  # of a reset one hears anyway

    def run(self, seconds: float) -> None:
        """Stall for that long."""
        until, dribble_at = time.monotonic() + seconds, 0.0
        while (now := time.monotonic()) < until:
            for number, event in self._events.poll(0.1):
                self._hear(self._clients[number], event)
            if now >= dribble_at:
                dribble_at = now + _DRIBBLE_S
                self._dribble()
            due, self._pending = self._pending, []
            for at, kind in due:
                if at <= now:
                    self.connect(kind)
                else:
                    self._pending.append((at, kind))

    def ages_s(self) -> dict[str, list[float]]:
        """Return how long each of those that are still there has been borne."""
        found: dict[str, list[float]] = defaultdict(list)
        for client in self._clients.values():
            found[client.kind.name].append(time.monotonic() - client.since)
        return found

    def _hear(self, client: Client, event: int) -> None:
        if not event & (select.EPOLLERR | select.EPOLLHUP):
            try:
                if client.socket.recv(65536):
                    return  # an answer; its end follows
            except BlockingIOError:
                return
            except OSError:
                pass
        self.borne_s[client.kind.name].append(time.monotonic() - client.since)
        self._events.unregister(client.socket)
        del self._clients[client.socket.fileno()]
        client.socket.close()
        self._pending.append((time.monotonic() + _BACK_S, client.kind))

    def _dribble(self) -> None:
        for client in self._clients.values():
            if client.kind.more:
                try:
                    client.socket.send(client.kind.more)
                except OSError:
                    continue  # the end is heard of otherwise


def main() -> None:
    """Stall, and print who was borne for how long, and who still is."""
    os.nice(5)
    given = json.load(sys.stdin)
    seconds, url = given.pop("seconds"), given.pop("url")
    crowd = Crowd(url)
    for kind in kinds(**given):
        crowd.connect(kind)
    print("open", flush=True)
    crowd.run(seconds)
    print(json.dumps({"borne_s": crowd.borne_s, "ages_s": crowd.ages_s()}))


if __name__ == "__main__":
    main()
