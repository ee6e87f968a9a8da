"""Reading from and writing to a peer, over a real pair of sockets."""

import socket
import threading
from collections.abc import Iterator

import pytest

from api.serving.peer_socket import PeerSocket
from api.serving.places import Places
from shared.errors import InvalidRequest, RequestTimeout
from tests.support.waiting import wait_until


@pytest.fixture
def places() -> Places:
    made = Places(1, 8, lambda: None)
    assert made.enter()
    return made


@pytest.fixture
def ends(places) -> Iterator[tuple[PeerSocket, socket.socket]]:
    """The server's end and the client's, within a request."""
    ours, theirs = socket.socketpair()
    with PeerSocket(ours, ("192.0.2.1", 80), places, 0.1) as server, theirs:
        server.begin()
        yield server, theirs


def test_what_is_there_is_read_up_to_what_was_asked_for(ends) -> None:
    server, client = ends
    client.sendall(b"hello")
    assert server.recv(2) == b"he"
    assert server.recv(100) == b"llo"


def test_a_body_that_stalls_is_out_of_time_and_stays_so(ends, places) -> None:
    server, client = ends
    with pytest.raises(RequestTimeout):
        server.recv(1)
    client.sendall(b"too late")
    with pytest.raises(RequestTimeout):
        server.recv(1)
    server.sendall(b"408")
    assert client.recv(3) == b"408"
    assert not places.enter()  # the request has its place back


def test_a_body_that_ends_early_is_refused(ends) -> None:
    server, client = ends
    client.close()
    with pytest.raises(InvalidRequest):
        server.recv(1)


def test_no_head_is_no_error(ends) -> None:
    server, client = ends
    server.end()
    client.close()
    assert server.recv(1) == b""


def test_an_answer_that_is_not_read_breaks_the_pipe(ends, places) -> None:
    server, _ = ends
    with pytest.raises(BrokenPipeError):
        server.sendall(bytes(10**7))
    assert not places.enter()
    assert server.left_answer


def test_flags_are_passed_on_so_that_anybody_may_look_whether_the_client_is_there(ends) -> None:
    server, client = ends
    look = socket.MSG_PEEK | socket.MSG_DONTWAIT
    with pytest.raises(BlockingIOError):
        server.recv(1, look)
    client.sendall(b"x")
    assert server.recv(1, look) == b"x"
    assert server.recv(1) == b"x"
    client.close()
    assert server.recv(1, look) == b""


def test_a_wait_that_is_ended_from_outside_ends_at_once(places) -> None:
    ours, theirs = socket.socketpair()
    with PeerSocket(ours, "", places, 3600.0) as server, theirs:
        server.begin()
        refused = threading.Event()

        def read() -> None:
            with pytest.raises(RequestTimeout):
                server.recv(1)
            refused.set()

        reader = threading.Thread(target=read)
        reader.start()
        wait_until(places.enter, "the reader has given its place back")
        places.leave()
        places.end_waits()
        reader.join(30)
        assert refused.is_set()
        server.sendall(b"408")
        assert theirs.recv(3) == b"408"
