"""A child's answer is foreign input: whatever it holds, it is taken for what it may be, or not at all."""

import json
import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest

from shared.errors import ImageTooLarge
from shared.imaging.decoders import answers, pool
from shared.imaging.decoders.wire import Channel, ProtocolError

INFO = {"width": 3, "height": 2, "format": "png", "size_bytes": 9}


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, Channel]]:
    theirs, ours = socket.socketpair()
    with theirs, ours:
        channel = Channel(ours)
        channel.deadline = time.monotonic() + 60
        yield theirs, channel


def head(**changed) -> bytes:
    text = json.dumps({"outcome": "done", "value": INFO, "notes": [], "blobs": [], **changed}).encode()
    return struct.pack("!I", len(text)) + text


def received(ends, data: bytes, read=pool._read_info):
    """Receive what a child sends before it closes."""
    theirs, channel = ends

    def send() -> None:
        theirs.sendall(data)
        theirs.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        return answers.receive(channel, read)
    finally:
        sender.join(60)


def test_an_honest_answer_is_taken(ends) -> None:
    assert received(ends, head()).width == 3


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("!I", 2**32 - 1),
        struct.pack("!I", 4) + b"\xff{}[",
        struct.pack("!I", 2) + b"[]",
        head(outcome="taken"),
        head(more=1),
        head(value={**INFO, "width": "3"}),
        head(value={**INFO, "width": 3.5}),
        head(value={**INFO, "width": True}),
        head(value={**INFO, "width": 0}),
        head(value={**INFO, "height": 10**6}),
        head(value={**INFO, "format": "svg"}),
        head(value={}),
        head(blobs=[-1]),
        head(outcome="refused", code="forbidden"),
        head(outcome="refused", code="image_too_large", fields={"status": 200}),
        head(outcome="refused", code="image_too_large", fields={"a b": 1}),
        head(outcome="refused", code="image_too_large", detail="x" * 2000),
        head(notes=[{"event": "A lie.\nAnd more", "reason": ""}]),
        head(notes=[{"event": "image_refused", "reason": ["x"]}]),
    ],
)
def test_what_no_honest_child_says_is_refused(ends, data) -> None:
    with pytest.raises(ProtocolError):
        received(ends, data)


@pytest.mark.parametrize("data", [b"", b"\0\0", head()[:-1]])
def test_half_an_answer_is_none(ends, data) -> None:
    with pytest.raises(EOFError):
        received(ends, data)


def test_a_refusal_keeps_its_detail_and_its_fields(ends) -> None:
    fields = {"width": 9, "max_px": 4}
    error = received(ends, head(outcome="refused", code="image_too_large", detail="Too many.", fields=fields))
    assert (type(error), error.detail, error.fields) == (ImageTooLarge, "Too many.", fields)


def test_a_blob_is_bounded(ends) -> None:
    with pytest.raises(ProtocolError):
        received(ends, head(value={}, blobs=[11]) + bytes(11), answers.read_blob(10))


def test_a_blob_within_its_bound_is_taken(ends) -> None:
    assert received(ends, head(value={}, blobs=[10]) + bytes(10), answers.read_blob(10)) == bytes(10)


@pytest.mark.parametrize("plane", [struct.pack("<f", 1.5), struct.pack("<f", -1), struct.pack("<f", float("nan"))])
def test_pixels_beyond_0_to_1_are_refused(ends, plane) -> None:
    data = head(value={"width": 1, "height": 1}, blobs=[12]) + bytes(8) + plane
    with pytest.raises(ProtocolError, match="beyond"):
        received(ends, data, lambda answer, channel: pool._read_planes(answer, channel, 100))


@pytest.mark.parametrize(
    ("value", "blobs"),
    [
        ({"width": 10**5, "height": 10**5}, [12 * 10**10]),
        ({"width": 1, "height": 1}, [13]),
        ({"width": 1, "height": 1}, [12, 5]),
        ({"width": 0, "height": 1}, [0]),
        ({"width": 1, "height": "1"}, [12]),
        ({"width": 1}, [12]),
    ],
)
def test_planes_of_other_sizes_than_their_pictures_are_refused(ends, value, blobs) -> None:
    with pytest.raises(ProtocolError):
        received(ends, head(value=value, blobs=blobs), lambda answer, channel: pool._read_planes(answer, channel, 100))


def test_an_answer_that_trickles_ends_at_the_deadline(ends) -> None:
    theirs, channel = ends
    theirs.sendall(head()[:-1])
    channel.deadline = time.monotonic() + 0.05
    with pytest.raises(TimeoutError):
        answers.receive(channel, pool._read_info)
