"""HTTP clients on plain sockets, which can be as slow and as rude as no library allows."""

import re
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from urllib.parse import urlsplit

#: Longest wait for anything from the server, in seconds.
_PATIENCE_S = 60.0
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)


class RawClient:
    """A connection that sends what it is told."""

    def __init__(self, url: str, *, buffer_bytes: int | None = None) -> None:
        """Connect; with `buffer_bytes`, the system receives little more than that for a client that does not read."""
        parts = urlsplit(url)
        self.socket = socket.socket()
        self.socket.settimeout(_PATIENCE_S)
        if buffer_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        self.socket.connect((parts.hostname or "", parts.port or 80))
        self._read = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self) -> bytes:
        """Read one whole answer with a length, of which the server sends no more than that."""
        while b"\r\n\r\n" not in self._read:
            self._receive()
        head, _, self._read = self._read.partition(b"\r\n\r\n")
        length = _LENGTH.search(head + b"\r\n")
        wanted = int(length[1]) if length else 0
        while len(self._read) < wanted:
            self._receive()
        body, self._read = self._read[:wanted], self._read[wanted:]
        return head + b"\r\n\r\n" + body

    def rest(self) -> bytes:
        """Read until the server closes the connection."""
        with suppress(ConnectionError):
            while data := self.socket.recv(2**16):
                self._read += data
        return self._read

    def is_reset(self) -> bool:
        """Say whether the server has cut the connection; nothing is read for it."""
        readiness = select.poll()
        readiness.register(self.socket, 0)
        return any(events & select.POLLERR for _, events in readiness.poll(0))

    def _receive(self) -> None:
        data = self.socket.recv(2**16)
        assert data, f"the connection ended after {self._read!r}"
        self._read += data


@contextmanager
def raw_clients(url: str, count: int, *, buffer_bytes: int | None = None) -> Iterator[list[RawClient]]:
    """Open that many connections, and close them at the end."""
    with ExitStack() as opened:
        clients = []
        for _ in range(count):
            clients.append(RawClient(url, buffer_bytes=buffer_bytes))
            opened.callback(clients[-1].socket.close)
        yield clients
