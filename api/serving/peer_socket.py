"""The socket of a connection, whose reads and writes wait for the peer no longer than it may keep a thread waiting.

gunicorn reads bodies and writes answers through it as through any socket. Flags are passed on, so that
`recv(1, MSG_PEEK | MSG_DONTWAIT)` tells whether the peer is still there.

Invariant: a peer that was ended stays so: each later read or write in that direction fails at once.
"""

import errno
import select
import socket
import struct
from contextlib import suppress
from typing import Any

from api.serving.endings import Reason, endings
from api.serving.pace import Pace
from api.serving.places import Places
from shared.errors import InvalidRequest, RequestTimeout

#: What a read or write returns at once instead of waiting; whether the socket itself is blocking makes no difference.
_NOW = socket.MSG_DONTWAIT
#: Linger for no time: closing resets the connection.
_RESET = struct.pack("ii", 1, 0)


class PeerSocket(socket.socket):
    """A socket whose peer gives its thread's place back while it is waited for."""

    def __init__(self, accepted: socket.socket, address: Any, places: Places, stall_s: float) -> None:
        """Take over a socket that was accepted from `address`."""
        super().__init__(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        self.address = str(address[0]) if isinstance(address, tuple) else ""
        self._places, self._stall_s = places, stall_s
        self._reads_body = False
        #: What the peer is waited for, and whether it has to make way for others.
        self._awaited, self._crowded = 0, False
        #: Whether the peer sent too little for too long, or had to make way.
        self._read_late = False
        #: Whether it did not take its answer, so that nothing more can be sent.
        self.left_answer = False
        self._reading, self._writing = Pace(stall_s), Pace(stall_s)

    def begin(self) -> None:
        """Begin a request whose head was read: from here on its body is read and its answer written."""
        self._reads_body = True
        self._reading, self._writing = Pace(self._stall_s), Pace(self._stall_s)

    def end(self) -> None:
        """End a request: what is read next is the head of another."""
        self._reads_body = False

    def wait_no_more(self) -> None:
        """Read on without waiting: nobody wants the rest of the body."""
        self._reading = Pace(0.0)

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Return what the peer has sent, up to `size` bytes; wait for it within the peer's pace.

        Raises `RequestTimeout` if the peer is out of time, and `InvalidRequest` if it leaves before its body's end.
        """
        if flags:
            return super().recv(size, flags)
        while not self._read_late:
            try:
                data = super().recv(size, _NOW)
            except BlockingIOError:
                self._read_late = not self._wait(select.POLLIN, self._reading)
                if self._read_late and self._reading.allows_waits:
                    endings.add(Reason.CROWD if self._crowded else Reason.BODY)
                continue
            except ConnectionError:
                data = b""
            if not data and self._reads_body:
                raise InvalidRequest("The connection ended before the body did.")
            self._reading.moved(len(data))
            return data
        if self._reads_body:
            raise RequestTimeout
        raise BrokenPipeError(errno.EPIPE, "the peer does not send the rest of its head")

    def send(self, data: Any, flags: int = 0) -> int:
        """Send some of `data` and return how much; wait for the peer within its pace, or raise `BrokenPipeError`."""
        if flags:
            return super().send(data, flags)
        while True:
            try:
                count = super().send(data, _NOW)
            except BlockingIOError:
                if not self._wait(select.POLLOUT, self._writing):
                    self.left_answer = True
                    endings.add(Reason.CROWD if self._crowded else Reason.ANSWER)
                    raise BrokenPipeError(errno.EPIPE, "the peer does not take its answer") from None
                continue
            self._writing.moved(count)
            return count

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send all of `data`; as for `send`, each wait has its bound."""
        rest = memoryview(data).cast("B")
        while rest:
            rest = rest[self.send(rest, flags) :]

    @property
    def debt_s(self) -> float:
        """How far behind the peer is in what it is waited for."""
        return max(self._reading.debt_s, self._writing.debt_s)

    def end_wait(self) -> None:
        """End the peer, for which another thread waits; one that did not send its body may still be told why."""
        self._crowded = True
        with suppress(OSError):
            self.shutdown(socket.SHUT_RD if self._awaited == select.POLLIN else socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection; the system forgets at once what a peer has left unread for too long."""
        if self.left_answer:
            with suppress(OSError):
                self.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        super().close()

    def _wait(self, event: int, pace: Pace) -> bool:
        """Wait until the peer is ready; return False if it is out of time, or was ended."""
        left_s = pace.left_s
        if self._crowded or not left_s:
            return False
        self._awaited = event
        readiness = select.poll()
        readiness.register(self, event)
        with self._places.aside(self), pace.waiting():
            ready = readiness.poll(left_s * 1000)
        return bool(ready) and not self._crowded
