"""Messages on a socket: the length of a head, the head in JSON, then blobs, whose sizes the head lists.

Invariant: the receiver says how much it takes, and never holds more, whatever the sender claims.
"""

import json
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from typing import Any

_LENGTH = struct.Struct("!I")
#: Longest head, in bytes.
_MAX_HEAD_BYTES = 2**16


class ProtocolError(Exception):
    """The other end sent what no honest one sends."""


class Channel:
    """A stream socket that carries messages until `deadline`, a moment of the monotonic clock; None is for ever.

    Methods raise `EOFError` if the other end has closed, `TimeoutError` at the deadline, or another `OSError`.
    """

    def __init__(self, connection: socket.socket) -> None:
        """Take over a connected socket."""
        self._connection = connection
        self.deadline: float | None = None

    def send(self, head: Mapping[str, Any], blobs: Sequence[bytes | memoryview] = ()) -> None:
        """Send a message."""
        text = json.dumps({**head, "blobs": [len(blob) for blob in blobs]}).encode()
        for part in (_LENGTH.pack(len(text)) + text, *blobs):
            self._connection.settimeout(self._left_s())
            self._connection.sendall(part)

    def receive_head(self) -> bytes:
        """Receive the head of a message, whose blobs follow; raise `ProtocolError` if it is too long."""
        (length,) = _LENGTH.unpack(self.receive(_LENGTH.size))
        if length > _MAX_HEAD_BYTES:
            raise ProtocolError(f"a head of {length} bytes")
        return self.receive(length)

    def receive(self, size: int) -> bytes:
        """Receive that many bytes."""
        buffer = bytearray(size)
        self.receive_into(memoryview(buffer))
        return bytes(buffer)

    def receive_into(self, view: memoryview) -> None:
        """Fill a view of bytes."""
        while view:
            self._connection.settimeout(self._left_s())
            count = self._connection.recv_into(view)
            if not count:
                raise EOFError
            view = view[count:]

    def close(self) -> None:
        """Close the socket."""
        self._connection.close()

    def _left_s(self) -> float | None:
        if self.deadline is None:
            return None
        left_s = self.deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        return left_s
