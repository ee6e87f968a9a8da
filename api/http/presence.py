"""Whether the client of a request still waits for the answer: long work ends when it has left.

A client that closes its connection sends an end of file, as does one that only sends no more; neither curl nor the
usual libraries do the latter, and proxies take it for leaving, too. What was sent before the end and is not read yet,
such as the rest of a body or a next request, counts as presence.

Invariant: a client that cannot be watched counts as present.
"""

import select
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any

from flask import Request

from shared.errors import ClientGone

#: Where gunicorn puts the connection of a request.
_SOCKET = "gunicorn.socket"
#: How often to look, in seconds: looking takes a few microseconds.
_LOOK_S = 0.2


def attend(request: Request) -> Callable[[], None]:
    """Return a function to call often during long work: it raises `ClientGone` once the client has left."""
    connection = request.environ.get(_SOCKET)
    if not isinstance(connection, socket.socket) or isinstance(connection, ssl.SSLSocket):
        return _nothing
    return _Watch(connection).look


def _nothing() -> None:
    """Do nothing: there is no connection to watch."""


class _Watch:
    """Looks at one connection now and then."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection, self._next = connection, 0.0

    def look(self) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _LOOK_S
        if has_left(self._connection):
            raise ClientGone


def has_left(connection: socket.socket) -> bool:
    """Return whether the other side has closed a connection of which everything was read."""
    try:
        poll: Any = select.poll()
        poll.register(connection, select.POLLIN)
        if not poll.poll(0):  # asked first, since a socket with a time limit would wait
            return False
        return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except (OSError, ValueError):  # reset, or closed on our side
        return True
