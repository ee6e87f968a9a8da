import hashlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from shared.errors import WeightsUnavailable
from worker.engine.fetch import fetch

BODY = b"kernels" * 100_000
MD5 = hashlib.md5(BODY).hexdigest()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/missing":
            self.send_error(404)
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


def test_a_file_of_the_right_hash_arrives_whole(server: str, tmp_path: Path) -> None:
    path = fetch(f"{server}/whole", tmp_path / "new folder" / "weights.h5", MD5)

    assert path.read_bytes() == BODY
    assert [entry.name for entry in path.parent.iterdir()] == ["weights.h5"]


@pytest.mark.parametrize("page", ["missing", "half"])
def test_what_is_missing_or_cut_short_leaves_nothing(server: str, tmp_path: Path, page: str) -> None:
    with pytest.raises(WeightsUnavailable):
        fetch(f"{server}/{page}", tmp_path / "weights.h5", MD5)

    assert list(tmp_path.iterdir()) == []


def test_other_bytes_are_refused_and_leave_the_old_file(server: str, tmp_path: Path) -> None:
    (tmp_path / "weights.h5").write_bytes(b"old")

    with pytest.raises(WeightsUnavailable, match="MD5"):
        fetch(f"{server}/whole", tmp_path / "weights.h5", "0" * 32)

    assert (tmp_path / "weights.h5").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_silent_server_is_given_up_in_bounded_time(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"

        with pytest.raises(WeightsUnavailable):
            fetch(url, tmp_path / "weights.h5", MD5, patience_s=0.2)


def test_a_closed_port_is_given_up_at_once(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable):
        fetch("http://127.0.0.1:9/", tmp_path / "weights.h5", MD5)
