"""A connection, and the head of its next request: received without waiting, and handed over to gunicorn when complete.

Limits: a head's end is found here, and what it says is parsed by gunicorn alone, in a thread.
"""

import re
import socket
from contextlib import suppress
from enum import Enum, auto
from typing import Any

from gunicorn.http import get_parser
from gunicorn.http.body import LengthReader
from gunicorn.http.errors import ParseException
from gunicorn.workers.gthread import TConn

from api.serving.peer_socket import PeerSocket
from shared.errors import AtelierError

#: Longest head, and how much is received at once, in bytes.
_MOST_HEAD = 32 * 1024
_BLOCK = 16 * 1024
#: The largest rest of a body that is thrown away to keep its connection, and what a peer may still send to one that is
#: closed; in bytes. More meets a reset.
_MOST_REST = 64 * 1024
#: The empty line that ends a head; gunicorn refuses one without carriage returns, but only once it has all of it.
_END = re.compile(rb"\n\r?\n")


class Head(Enum):
    """How much of the next request's head is there."""

    NONE = auto()
    PART = auto()
    WHOLE = auto()
    TOO_LARGE = auto()
    #: There will be none.
    CLOSED = auto()


class Connection(TConn):  # type: ignore[misc]  # gunicorn has no types
    """A connection as gunicorn's worker knows it; only one thread at a time uses it."""

    def __init__(self, cfg: Any, sock: PeerSocket, client: Any, server: Any) -> None:
        """Take a connection that was just accepted."""
        super().__init__(cfg, sock, client, server)
        self.parser = get_parser(cfg, sock, client)
        self.initialized = True
        self._head = bytearray()
        #: What is still to come of the last request's body, which no view has read; and what came after the end.
        self._unread, self._rest = 0, 0

    @property
    def has_begun(self) -> bool:
        """Whether something of the next request's head is there."""
        return bool(self._head)

    def receive(self) -> Head:
        """Receive what is there of the head; never wait."""
        try:
            data = self.sock.recv(_BLOCK, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return Head.PART if self._head or self._unread else Head.NONE
        except OSError:
            return Head.CLOSED
        return self._add(data) if data else Head.CLOSED

    def reread(self) -> Head:
        """Begin the next request with what was received behind the last one; receive more if there is nothing."""
        data = self.parser.unreader.take_buffered()
        return self._add(data) if data else self.receive()

    def skip_body(self) -> bool:
        """Arrange for the rest of a body that no view has read to be thrown away; return False if that takes too long.

        A rest of known length is received before the next head, without a thread; of any other, only what is there.
        """
        body = self.parser.mesg.body
        if body.failed:
            return False
        if isinstance(body.reader, LengthReader):
            self._unread, body.reader.length = body.reader.length, 0
            return self._unread <= _MOST_REST
        self.sock.wait_no_more()
        with suppress(AtelierError, OSError, ParseException):
            return bool(self.parser.finish_body(max_bytes=_MOST_REST))
        return False

    def hand_over(self) -> None:
        """Give the head, and what came with it, to the parser."""
        self.parser.unreader.unread(bytes(self._head))
        self._head.clear()

    def refuse(self, answer: bytes) -> None:
        """Send a whole answer to a head that will not be parsed; a peer that takes none gets none."""
        with suppress(OSError):
            self.sock.send(answer, socket.MSG_DONTWAIT)

    def half_close(self) -> bool:
        """Tell the peer that no more will come; return False if it is gone already, or does not listen anyway."""
        if self.sock.left_answer:
            return False
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            return False
        return not self.discard()

    def discard(self) -> bool:
        """Throw away what the peer still sends, and return whether it is time to close.

        With unread bytes, the kernel would reset the connection, and the end of the answer might be lost.
        """
        try:
            data = self.sock.recv(_BLOCK, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True
        self._rest += len(data)
        return not data or self._rest > _MOST_REST

    def _add(self, data: bytes) -> Head:
        skipped = min(self._unread, len(data))
        self._unread -= skipped
        searched = max(0, len(self._head) - 2)
        self._head += memoryview(data)[skipped:]
        if not self._head and not self._unread:
            return Head.NONE
        if _END.search(self._head, searched):
            return Head.WHOLE
        return Head.PART if len(self._head) <= _MOST_HEAD else Head.TOO_LARGE
