"""The API as gunicorn serves it: streams beside requests, several processes, reloads and stops, its log."""

import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest

from shared.messaging.progress import RedisProgress
from tests.support.api_server import Served, serving
from tests.support.factories import add_job
from tests.support.waiting import wait_until


@pytest.fixture
def job_id(database) -> str:
    return add_job(database)


@pytest.fixture
def served(settings, redis, key) -> Iterator[Served]:
    with serving(settings, key, api_threads=2, stream_limit=6) as made:
        yield made


@contextmanager
def following(client: httpx.Client, job_id: str) -> Iterator[Iterator[str]]:
    """Follow a job; its first event has come."""
    with client.stream("GET", f"/v1/jobs/{job_id}/events") as response:
        lines = response.iter_lines()
        until(lines, "event: state")
        yield lines


def until(lines: Iterator[str], wanted: str) -> None:
    assert any(line == wanted for line in lines), f"the stream ended without {wanted!r}"


def test_streams_and_long_polls_leave_threads_for_all_other_requests(served, job_id) -> None:
    with served.client() as client, ExitStack() as open_streams:
        polls = [threading.Thread(target=client.get, args=(f"/v1/jobs/{job_id}?wait=60",)) for _ in range(2)]
        for poll in polls:
            poll.start()
        # Opened and kept until one is refused: then every permit is taken, by polls and streams.
        stream = ("GET", f"/v1/jobs/{job_id}/events")
        wait_until(lambda: open_streams.enter_context(client.stream(*stream)).status_code == 429, "no permit is left")
        assert client.get(f"/v1/jobs/{job_id}").json()["state"] == "queued"
        assert client.post(f"/v1/jobs/{job_id}/cancel").status_code == 202  # which ends streams and polls
        for poll in polls:
            poll.join(20)
            assert not poll.is_alive()


def test_old_and_odd_clients_are_answered(served, job_id) -> None:
    job = f"/v1/jobs/{job_id}"
    assert first_line(served, f"GET {job} HTTP/1.0") == "HTTP/1.0 200 OK"
    assert first_line(served, f"GET {served.url}{job} HTTP/1.1") == "HTTP/1.1 200 OK"
    assert first_line(served, f"HEAD {job}/events HTTP/1.1") == "HTTP/1.1 200 OK"
    assert first_line(served, f"GET {job}/ HTTP/1.1") == "HTTP/1.1 404 NOT FOUND"
    assert first_line(served, f"BREW {job} HTTP/1.1") == "HTTP/1.1 405 METHOD NOT ALLOWED"
    assert first_line(served, f"get {job} HTTP/1.1") == "HTTP/1.1 400 Bad Request"  # methods are case-sensitive
    waiting = "POST /v1/images HTTP/1.1\r\nContent-Length: 9\r\nExpect: 100-continue"
    assert first_line(served, waiting) == "HTTP/1.1 100 Continue"


def first_line(served: Served, head: str) -> str:
    """Send a request's head as it is, with a host and a key; return the first line of the answer."""
    address = httpx.URL(served.url)
    with socket.create_connection((address.host, address.port), 20) as connection:
        connection.sendall(f"{head}\r\nHost: a\r\nAuthorization: {served.headers['Authorization']}\r\n\r\n".encode())
        return connection.makefile().readline().strip()


def test_a_follower_hears_steps_as_they_are_told(served, job_id, redis) -> None:
    with served.client() as client, following(client, job_id) as lines:
        RedisProgress(redis).steps(job_id, [{"step": 1}], None)
        until(lines, 'data: {"step":1}')


def test_a_stop_ends_streams_in_good_order_and_writes_their_lines(served, job_id) -> None:
    with served.client() as client, following(client, job_id) as lines:
        served.process.send_signal(signal.SIGTERM)
        assert "event: end" not in list(lines)  # and no broken connection
    assert served.process.wait(20) == 0
    assert [line["path"] for line in served.lines("request_answered")] == [f"/v1/jobs/{job_id}/events"]


def descendants(pid: int) -> list[int]:
    """Return the processes that a process has started, and those that these have."""
    listed = subprocess.run(["ps", "-axo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = [tuple(map(int, line.split())) for line in listed.splitlines()]
    found = [pid]
    for parent in found:
        found += [child for child, its_parent in pairs if its_parent == parent]
    return found[1:]


def is_alive(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")


def test_a_server_whose_supervisor_is_killed_leaves_no_process_however_many_follow(served, job_id, png) -> None:
    with served.client() as client, following(client, job_id) as lines:
        assert client.post("/v1/images", content=png, headers={"Content-Type": "image/png"}).status_code == 201
        left = descendants(served.process.pid)
        assert len(left) >= 3  # the server, what decodes, and its child
        served.process.kill()
        assert "event: end" not in list(lines)  # nor a broken connection
        wait_until(lambda: not any(is_alive(pid) for pid in left), "all processes have ended")


def test_a_reload_ends_streams_and_keeps_the_address(served, job_id) -> None:
    with served.client() as client:
        with following(client, job_id) as lines:
            served.process.send_signal(signal.SIGHUP)
            list(lines)
        with following(client, job_id):
            assert served.process.poll() is None


def test_two_processes_answer_on_one_address_and_both_hear_redis(settings, redis, key, job_id) -> None:
    with serving(settings, key, api_processes=2) as served, ExitStack() as opened:
        clients = [opened.enter_context(served.client()) for _ in range(6)]
        streams = [opened.enter_context(following(client, job_id)) for client in clients]
        RedisProgress(redis).ended([job_id], "canceled")
        for lines in streams:
            until(lines, "event: end")


def test_each_request_has_a_line_without_its_query_and_secrets(served, job_id) -> None:
    with served.client() as client:
        asked = client.get(f"/v1/jobs/{job_id}?secret=hush", headers={"X-Request-ID": "r1"})
        client.get("/v1/jobs/nobody", headers={"X-Request-ID": "r2", "Cookie": "hush"})
        wait_until(lambda: served.lines("request_answered")[1:], "two lines")
    first, second = served.lines("request_answered")
    assert (first["method"], first["path"], first["status"]) == ("GET", f"/v1/jobs/{job_id}", 200)
    assert (first["request_id"], first["bytes"]) == ("r1", len(asked.content))
    assert first["key_id"]
    assert first["ms"] > 0
    assert (second["request_id"], second["status"]) == ("r2", 404)
    assert "hush" not in served.log.read_text()
    assert "/healthz" not in served.log.read_text()
