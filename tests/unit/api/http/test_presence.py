"""Whether a client counts as present, by what is on its connection."""

import socket
from collections.abc import Iterator

import pytest

from api.http.presence import has_left
from tests.support.waiting import wait_until

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Our end of a connection, and the client's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
        with ours, theirs:
            yield ours, theirs


@pytest.mark.parametrize("is_read", [True, False])
@pytest.mark.parametrize("time_limit_s", [None, 60, 0])
def test_a_client_that_waits_or_sends_is_present_and_nothing_of_it_is_lost(pair, is_read, time_limit_s) -> None:
    ours, theirs = pair
    ours.settimeout(time_limit_s)
    assert not has_left(ours, is_read=is_read)
    theirs.sendall(b"more")
    assert not has_left(ours, is_read=is_read)
    ours.settimeout(20)
    assert ours.recv(9) == b"more"


@pytest.mark.parametrize("is_read", [True, False])
def test_a_client_that_has_closed_is_gone(pair, is_read) -> None:
    ours, theirs = pair
    theirs.close()
    wait_until(lambda: has_left(ours, is_read=is_read), "the end arrives")


def test_an_end_behind_data_is_that_of_the_next_request_or_of_a_body_nobody_waits_for(pair) -> None:
    ours, theirs = pair
    theirs.sendall(b"GET / HTTP/1.1\r\n\r\n")
    theirs.shutdown(socket.SHUT_WR)
    wait_until(lambda: has_left(ours, is_read=False), "the end arrives")
    assert not has_left(ours, is_read=True)


def test_a_connection_that_was_reset_is_gone(pair) -> None:
    ours, theirs = pair
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    theirs.close()
    wait_until(lambda: has_left(ours, is_read=True), "the reset arrives")
