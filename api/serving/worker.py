"""A gunicorn worker whose threads never wait for a peer beyond its deadline, and whose poller never waits at all.

The poller, which is the main thread, accepts connections, receives heads, and closes what is out of time; it queues
each request whose head is complete until there is a place for it. A thread then serves it as gunicorn's own threaded
worker does, and gives its place back while it waits for its peer.

Limits: TLS and HTTP/2 are left to a proxy in front.
"""

import errno
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from selectors import EVENT_READ
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

from api.serving.bounds import Bounds
from api.serving.connection import Connection, Head
from api.serving.endings import Reason, endings
from api.serving.lobby import Lobby, Wait
from api.serving.peer_socket import PeerSocket
from api.serving.places import Places

#: How long a connection that is closed waits for its peer to close it too, and how long a stopping process waits for
#: requests that are on their way; in seconds.
_END_S, _STOP_S = 2.0, 2.0
#: Before the end of its grace, a stopping process ends the peers that it still waits for; in seconds.
_LAST_S = 2.0
#: Longest wait for events, so that the supervisor knows of this process being alive; in seconds.
_TURN_S = 1.0
#: Errors of `accept` that leave a connection for later: it is gone, or there are too many open files.
_NOT_ACCEPTED = (errno.EAGAIN, errno.EWOULDBLOCK, errno.ECONNABORTED, errno.EMFILE, errno.ENFILE)


class PeerWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """Serves the application of a gunicorn app that has `bounds`."""

    def init_process(self) -> None:
        """Prepare what must not be shared with other processes, and run."""
        self._bounds: Bounds = self.app.bounds
        self.worker_connections = self._bounds.connections
        self._places = Places(self._bounds.places, self._bounds.most_waiting, self._on_free)
        self._lobby = Lobby({Wait.END: _END_S, Wait.HEAD: self._bounds.head_s, Wait.REQUEST: self._bounds.idle_s})
        #: Requests that wait for a place.
        self._queue: deque[Connection] = deque()
        super().init_process()

    def get_thread_pool(self) -> ThreadPoolExecutor:
        """Return a pool that never lets a request with a place wait for a thread."""
        return ThreadPoolExecutor(self._bounds.threads, thread_name_prefix="request")

    def run(self) -> None:
        """Serve until the process is to stop, then finish what has begun."""
        self.poller.register(self.method_queue.fileno(), EVENT_READ, self.method_queue.run_callbacks)
        while self.alive and self.is_parent_alive():
            self.set_accept_enabled(self.nr_conns < self.worker_connections)
            self._turn()
        self._finish(time.monotonic() + self._bounds.grace_s)

    def accept(self, listener: Any) -> None:
        """Accept a connection, and receive what has come with it."""
        try:
            accepted, client = listener.accept()
        except OSError as error:
            if error.errno not in _NOT_ACCEPTED:
                raise
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self._make_room()
            return
        sock = PeerSocket(accepted, client, self._places, self._bounds.stall_s)
        self.nr_conns += 1
        connection = Connection(self.cfg, sock, client, listener.getsockname())
        self._seat(connection, connection.receive(), Wait.HEAD)
        if self.nr_conns >= self.worker_connections:
            self._make_room()

    def handle(self, conn: Connection) -> Any:
        """Serve a request; return whether another may follow on its connection. A thread of the pool calls this."""
        try:
            return super().handle(conn)
        finally:
            conn.sock.end()
            self._places.leave()

    def handle_request(self, req: Any, conn: Connection) -> Any:
        """Answer a request whose head has been parsed."""
        conn.sock.begin()
        return super().handle_request(req, conn)

    def _keepalive_after(self, conn: Connection, keepalive: bool) -> bool:
        """Return whether the connection can be kept: gunicorn asks this when a request has been answered."""
        return keepalive and conn.skip_body()

    def finish_request(self, conn: Connection, fs: "Future[Any]") -> None:
        """Keep or close a connection whose request has been served."""
        if fs.cancelled() or fs.exception() or not fs.result():
            self._close_gently(conn)
        else:
            self._seat(conn, conn.reread(), Wait.REQUEST)

    # -- the poller

    def _turn(self) -> None:
        """Wait for events, act on them, and close what is out of time."""
        self.notify()
        self.wait_for_and_dispatch_events(min(_TURN_S, self._lobby.next_in_s()))
        for connection in self._lobby.expired():
            self._expire(connection)
        endings.log()

    def _seat(self, connection: Connection, head: Head, nothing_yet: Wait) -> None:
        """Queue a request whose head is complete, and let any other connection wait for the rest."""
        if head is Head.WHOLE:
            self._queue.append(connection)
            self._dispatch()
        elif head is Head.CLOSED:
            self._close(connection)
        elif head is Head.TOO_LARGE:
            connection.refuse(self._bounds.large_head)
            self._close_gently(connection)
        else:
            self._await(connection, nothing_yet if head is Head.NONE else Wait.HEAD)

    def _await(self, connection: Connection, wait: Wait) -> None:
        self._lobby.add(connection, wait)
        self.poller.register(connection.sock, EVENT_READ, partial(self._on_readable, connection))

    def _on_readable(self, connection: Connection, _sock: Any) -> None:
        wait = self._lobby.wait_of(connection)
        if wait is None:  # closed by another event of this turn
            return
        if wait is Wait.END:
            if connection.discard():
                self._close(connection)
            return
        head = connection.receive()
        next_wait = {Head.NONE: Wait.REQUEST, Head.PART: Wait.HEAD}.get(head)
        if next_wait is None:
            self._forget(connection)
            self._seat(connection, head, Wait.REQUEST)
        elif next_wait is not wait:
            self._lobby.add(connection, next_wait)

    def _dispatch(self) -> None:
        """Give the queued requests the places that are free."""
        while self._queue and self._places.enter():
            connection = self._queue.popleft()
            connection.hand_over()
            self.enqueue_req(connection)

    def _on_free(self) -> None:
        """Let the poller dispatch; any thread calls this."""
        if self._queue:
            self.method_queue.defer(self._dispatch)

    def _expire(self, connection: Connection) -> None:
        """Close a connection whose time is over, and tell a peer that has sent half a head."""
        if self._lobby.wait_of(connection) is not Wait.HEAD or not connection.has_begun:
            self._close(connection)
            return
        endings.add(Reason.HEAD)
        connection.refuse(self._bounds.late_head)
        self._forget(connection)
        self._close_gently(connection)

    def _make_room(self) -> None:
        """Close the connection that has waited longest, if any waits."""
        oldest = self._lobby.oldest()
        if oldest is not None:
            if self._lobby.wait_of(oldest) is not Wait.END:
                endings.add(Reason.CROWD)
            self._close(oldest)

    def _forget(self, connection: Connection) -> None:
        if self._lobby.discard(connection) is not None:
            self.poller.unregister(connection.sock)

    def _close_gently(self, connection: Connection) -> None:
        """Close a connection once its peer has received all of its answer."""
        if connection.half_close():
            self._await(connection, Wait.END)
        else:
            self._close(connection)

    def _close(self, connection: Connection) -> None:
        self._forget(connection)
        self.nr_conns -= 1
        connection.close()

    def _finish(self, until: float) -> None:
        """Finish the requests that have begun, and end."""
        self.set_accept_enabled(False)
        self._lobby.close_within(_STOP_S)
        while self.nr_conns and time.monotonic() < until:
            if time.monotonic() > until - _LAST_S:
                self._places.end_waits()
            self._turn()
        for connection in self._lobby.all():
            self._close(connection)
        self.tpool.shutdown(wait=False)
        self.poller.close()
        self.method_queue.close()
        for listener in self.sockets:
            listener.close()
