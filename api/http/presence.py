"""Whether the client of a request still waits for the answer: long work ends when it has left.

A client that closes its connection sends an end of file, as does one that only sends no more; neither curl nor the
usual libraries do the latter, and proxies take it for leaving, too. One that has sent its next request already counts
as present.

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
#: What the kernel says of a connection whose other side has closed it; not every system tells it beside data.
_CLOSED = getattr(select, "POLLRDHUP", 0)
_GONE = _CLOSED | select.POLLHUP | select.POLLERR


def attend(request: Request) -> Callable[[], None]:
    """Return a function to call often during long work: it raises `ClientGone` once the client has left."""
    connection = request.environ.get(_SOCKET)
    if not isinstance(connection, socket.socket) or isinstance(connection, ssl.SSLSocket):
        return _nothing
    return _Watch(connection, request.environ.get("wsgi.input")).look


def _nothing() -> None:
    """Do nothing: there is no connection to watch."""


class _Watch:
    """Looks at one connection now and then, whose request has `body`."""

    def __init__(self, connection: socket.socket, body: Any) -> None:
        self._connection, self._body, self._next = connection, body, 0.0

    def look(self) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _LOOK_S
        if has_left(self._connection, is_read=_is_read(self._body)):
            raise ClientGone


def has_left(connection: socket.socket, *, is_read: bool) -> bool:
    """Return whether the other side has closed a connection.

    Once the request `is_read`, an end behind more data is that of a client which sent its next request; before that,
    the data is the rest of a body whose sender is gone.
    """
    try:
        poll: Any = select.poll()
        poll.register(connection, select.POLLIN | _CLOSED)
        found = poll.poll(0)  # asked first, since a socket with a time limit would wait
        if not found or not is_read:
            return bool(found and found[0][1] & _GONE)
        return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except (OSError, ValueError):  # reset, or closed on our side
        return True


def _is_read(body: Any) -> bool:
    """Return whether gunicorn has read the whole body of a request: one of known length, or in chunks."""
    reader = getattr(body, "reader", None)
    return not getattr(reader, "length", 0) and getattr(reader, "parser", None) is None
