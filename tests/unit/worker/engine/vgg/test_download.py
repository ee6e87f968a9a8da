import contextlib
import hashlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from shared.errors import WeightsUnavailable
from worker.engine.vgg.download import Digest, fetch, printable

BODY = b"kernels" * 100_000
MD5 = Digest("md5", hashlib.md5(BODY).hexdigest())
#: Bounds of the downloads below.
BOUNDS = {"max_bytes": len(BODY), "timeout_s": 60.0}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/missing":
            self.send_error(404)
            return
        if self.path == "/dribble":  # headers without end, each in time
            with contextlib.suppress(OSError):
                for _ in range(200):
                    self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                    threading.Event().wait(0.02)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY[: 1000 if self.path == "/half" else None])

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_file_with_the_right_hash_arrives(server: str, tmp_path: Path) -> None:
    path = fetch(f"{server}/whole", tmp_path / "new folder" / "weights.h5", MD5, **BOUNDS)

    assert path.read_bytes() == BODY
    assert [entry.name for entry in path.parent.iterdir()] == ["weights.h5"]


@pytest.mark.parametrize("page", ["missing", "half"])
def test_a_missing_or_truncated_file_leaves_nothing(server: str, tmp_path: Path, page: str) -> None:
    with pytest.raises(WeightsUnavailable):
        fetch(f"{server}/{page}", tmp_path / "weights.h5", MD5, **BOUNDS)

    assert list(tmp_path.iterdir()) == []


def test_a_file_with_another_hash_is_refused_and_the_old_one_stays(server: str, tmp_path: Path) -> None:
    (tmp_path / "weights.h5").write_bytes(b"old")

    with pytest.raises(WeightsUnavailable, match="MD5"):
        fetch(f"{server}/whole", tmp_path / "weights.h5", Digest("md5", "0" * 32), **BOUNDS)

    assert (tmp_path / "weights.h5").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_silent_server_times_out(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"

        with pytest.raises(WeightsUnavailable):
            fetch(url, tmp_path / "weights.h5", MD5, **BOUNDS, read_timeout_s=0.2)


def test_a_closed_port_fails_at_once(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable):
        fetch("http://127.0.0.1:9/", tmp_path / "weights.h5", MD5, **BOUNDS)


def test_sha256_is_checked_as_well(server: str, tmp_path: Path) -> None:
    right = Digest("sha256", hashlib.sha256(BODY).hexdigest())

    assert right.matches(fetch(f"{server}/whole", tmp_path / "weights.h5", right, **BOUNDS))
    with pytest.raises(WeightsUnavailable, match="SHA256"):
        fetch(f"{server}/whole", tmp_path / "other.h5", Digest("sha256", "0" * 64), **BOUNDS)


def test_a_download_longer_than_allowed_is_canceled(server: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match="longer than 1000 bytes"):
        fetch(f"{server}/whole", tmp_path / "weights.h5", MD5, max_bytes=1000, timeout_s=60.0)

    assert list(tmp_path.iterdir()) == []


def test_a_server_that_sends_headers_forever_times_out(server: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match="did not arrive within 0 s"):
        fetch(f"{server}/dribble", tmp_path / "weights.h5", MD5, max_bytes=len(BODY), timeout_s=0.3)

    assert list(tmp_path.iterdir()) == []


def test_the_error_for_a_broken_download_gives_both_lengths(server: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match=f"broke off after 1000 of {len(BODY)} bytes"):
        fetch(f"{server}/half", tmp_path / "weights.h5", MD5, **BOUNDS)


def test_a_servers_message_is_stripped_of_control_characters_and_shortened() -> None:
    assert printable("404 \x1b]0;gotcha\x07 not\r\n found.") == "404 ]0;gotcha not found"
    assert len(printable("a" * 10_000)) < 400


def test_a_file_url_works(tmp_path: Path) -> None:
    (tmp_path / "here.h5").write_bytes(BODY)

    assert fetch((tmp_path / "here.h5").as_uri(), tmp_path / "copy.h5", MD5, **BOUNDS).read_bytes() == BODY


@pytest.mark.parametrize("url", ["file:///none/such", "http://", "http://[", "nonsense"])
def test_an_invalid_url_is_reported(url: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match="cannot be fetched"):
        fetch(url, tmp_path / "weights.h5", MD5, **BOUNDS)
