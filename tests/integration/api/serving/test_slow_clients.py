"""Clients that stall, in every part of a request, are ended in time, and nobody else notices them.

The server has four places, so that a handful of clients would silence it if each of them held one.
"""

import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from shared.db.base import connect
from shared.settings import Settings
from tests.support.api_server import Served, serving
from tests.support.factories import add_key
from tests.support.raw_clients import RawClient, raw_clients
from tests.support.sample_images import NOISE, saved
from tests.support.waiting import wait_until

#: More than there are places.
MANY = 12
HALF_A_HEAD = b"POST /v1/images HTTP/1.1\r\nHost: here\r\n"
LENGTH, CHUNKED = b"Content-Length: 2000\r\n", b"Transfer-Encoding: chunked\r\n"


@pytest.fixture(scope="module")
def start(tmp_path_factory, migrated) -> Callable[..., object]:
    """What starts a server with four places, and with whatever else a test wants."""

    def starting(**changed: float):
        home: Path = tmp_path_factory.mktemp("home")
        settings = Settings.load(home=home)
        shutil.copy(migrated, home / "atelier.db")
        database = connect(settings.database_url)
        key = add_key(database)
        database.engine.dispose()
        return serving(settings, key, **{"api_threads": 2, "stream_limit": 2, "decoders": 1} | changed)

    return starting


@pytest.fixture(scope="module")
def served(start) -> Iterator[Served]:
    """A server that all but the last two tests share: half a second for a head, one for a stall."""
    with start(head_s=0.5, client_stall_s=1.0) as made:
        yield made


@pytest.fixture(scope="module")
def patient(start) -> Iterator[Served]:
    """A server that bears clients for long; the last test stops it."""
    with start(head_s=60, client_stall_s=600) as made:
        yield made


@pytest.fixture
def post(served) -> bytes:
    """The head of an upload with a key, but for the headers of its body."""
    key = served.headers["Authorization"].encode()
    return HALF_A_HEAD + b"Content-Type: image/png\r\nAuthorization: " + key + b"\r\n"


def assert_answers(served: Served) -> None:
    """Ask as a monitor does, and as a client that polls."""
    with served.client() as client:
        assert client.get("/healthz").status_code == 200
        assert client.get("/v1/jobs").status_code == 200


def ended(served: Served, reason: str) -> float:
    with served.client() as client:
        lines = client.get("/metrics").text.splitlines()
    name = f'atelier_clients_ended_total{{reason="{reason}"}}'
    return next(float(line.removeprefix(name)) for line in lines if line.startswith(name))


def dribble(clients: list[RawClient], data: bytes, stop: threading.Event) -> None:
    """Send these bytes again and again, ten times a second, to all that still listen."""
    while not stop.wait(0.1):
        for client in clients:
            try:
                client.socket.send(data)
            except OSError:
                continue


@pytest.fixture
def dribbling() -> Iterator[Callable[[list[RawClient], bytes], None]]:
    stop, threads = threading.Event(), []

    def begin(clients: list[RawClient], data: bytes) -> None:
        threads.append(threading.Thread(target=dribble, args=(clients, data, stop)))
        threads[-1].start()

    yield begin
    stop.set()
    for thread in threads:
        thread.join(20)


@pytest.mark.parametrize("more", [b"", b"X"], ids=["silent", "dribbled"])
def test_half_sent_heads_are_refused_in_time(served, dribbling, more) -> None:
    with raw_clients(served.url, MANY) as clients:
        for client in clients:
            client.send(HALF_A_HEAD)
        if more:
            dribbling(clients, more)
        assert_answers(served)
        for client in clients:
            answer = client.rest()
            assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n")
            assert b'"code": "request_timeout"' in answer


@pytest.mark.parametrize("more", [b"", b"1\r\nX\r\n"], ids=["silent", "dribbled"])
@pytest.mark.parametrize("framing", [LENGTH, CHUNKED], ids=["length", "chunked"])
def test_stalled_bodies_are_refused_in_time(served, dribbling, post, framing, more) -> None:
    with raw_clients(served.url, MANY) as clients:
        for client in clients:
            client.send(post + framing + b"\r\n" + b"1\r\nX\r\n")
        if more:
            dribbling(clients, more)
        assert_answers(served)
        for client in clients:
            answer = client.rest()
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert b"application/problem+json" in answer
            assert b'"code":"request_timeout"' in answer.replace(b'": "', b'":"')
    assert "Traceback" not in served.log.read_text()


def test_stalled_bodies_without_a_key_are_refused_at_once(served) -> None:
    with raw_clients(served.url, MANY) as clients:
        for client in clients:
            client.send(HALF_A_HEAD + LENGTH + b"\r\n")
        assert_answers(served)
        for client in clients:
            assert client.rest().startswith(b"HTTP/1.1 401 ")


def test_a_body_that_comes_after_its_refusal_is_thrown_away(served) -> None:
    with raw_clients(served.url, 1) as (client,):
        client.send(HALF_A_HEAD + LENGTH + b"\r\n")
        assert client.answer().startswith(b"HTTP/1.1 401 ")
        client.send(1999 * b"x")
        client.send(b"xGET /healthz HTTP/1.1\r\nHost: here\r\n\r\n")
        assert client.answer().startswith(b"HTTP/1.1 200 ")


def test_answers_that_nobody_reads_are_given_up_in_time(served) -> None:
    before = ended(served, "unread_answer")
    with raw_clients(served.url, MANY, buffer_bytes=4096) as clients:
        for client in clients:  # more than fits into the buffers of both sides
            client.send(200 * b"GET /static/dashboard/vendor/htmx/htmx.min.js HTTP/1.1\r\nHost: here\r\n\r\n")
        assert_answers(served)
        wait_until(lambda: ended(served, "unread_answer") == before + MANY, "all that do not read are ended")
        assert_answers(served)
        for client in clients:
            wait_until(client.is_reset, "the system keeps nothing for it")
    assert "Traceback" not in served.log.read_text()


def test_a_client_that_leaves_within_its_body_leaves_no_traceback(served, post) -> None:
    before = len(served.lines("request_answered"))
    for framing in (LENGTH, CHUNKED):
        with raw_clients(served.url, 1) as (client,):
            client.send(post + framing + b"\r\n" + b"1\r\nX\r\n")
    wait_until(lambda: len(served.lines("request_answered")) >= before + 2, "both have their lines")
    assert {line["status"] for line in served.lines("request_answered")[before:]} == {400}
    assert "Traceback" not in served.log.read_text()


@pytest.mark.parametrize("expects", [b"", b"Expect: 100-continue\r\n"], ids=["sends", "asks first"])
def test_a_slow_but_steady_upload_is_finished(served, post, expects) -> None:
    data = saved(Image.fromarray(NOISE[:24]))
    assert len(data) > 4096, "it takes longer than a client may stall"
    with raw_clients(served.url, 1) as (client,):
        client.send(post + expects + b"Content-Length: %d\r\n\r\n" % len(data))
        if expects:
            assert client.answer().startswith(b"HTTP/1.1 100 ")
        pause = threading.Event()
        for start in range(0, len(data), 512):
            pause.wait(0.2)
            client.send(data[start : start + 512])
        assert client.answer().startswith((b"HTTP/1.1 201 ", b"HTTP/1.1 200 "))


def test_a_kept_connection_serves_requests_that_come_in_one_piece_or_in_many(served, post) -> None:
    get = b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n"
    with raw_clients(served.url, 1) as (client,):
        client.send(get + HALF_A_HEAD + b"Content-Length: 3\r\n\r\nabc" + get[:20])
        assert client.answer().startswith(b"HTTP/1.1 200 ")
        assert client.answer().startswith(b"HTTP/1.1 401 ")
        client.send(get[20:])
        assert client.answer().startswith(b"HTTP/1.1 200 ")
        client.send(get + get)
        assert client.answer().startswith(b"HTTP/1.1 200 ")
        assert client.answer().startswith(b"HTTP/1.1 200 ")


def test_a_head_that_never_ends_is_refused(served) -> None:
    with raw_clients(served.url, 1) as (client,):
        client.send(HALF_A_HEAD + b"X: " + 40_000 * b"x")
        assert client.rest().startswith(b"HTTP/1.1 431 ")


def test_more_connections_than_there_is_room_for_end_the_oldest(patient) -> None:
    with raw_clients(patient.url, 600) as clients:
        for client in clients:
            client.send(HALF_A_HEAD)
        assert_answers(patient)
        assert clients[0].rest() == b""
        assert ended(patient, "crowd") >= 600 - (4 * 4 + 512)


def test_a_stop_waits_for_no_client_that_stalls(patient) -> None:
    with raw_clients(patient.url, MANY) as clients:
        key = patient.headers["Authorization"].encode()
        for client in clients:
            client.send(HALF_A_HEAD + b"Content-Type: image/png\r\nAuthorization: " + key + b"\r\n" + LENGTH + b"\r\n")
        assert_answers(patient)
        patient.process.send_signal(signal.SIGTERM)
        assert patient.process.wait(60) == 0
        assert {client.rest()[:13] for client in clients} == {b"HTTP/1.1 408 "}
