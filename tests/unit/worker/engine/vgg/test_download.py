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
#: What every fetch here may take.
BOUNDS = {"most_bytes": len(BODY), "within_s": 60.0}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/missing":
            self.send_error(404)
            return
        if self.path == "/dribble":  # a head without end, each line of which comes in time
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


def test_a_file_of_the_right_hash_arrives_whole(server: str, tmp_path: Path) -> None:
    path = fetch(f"{server}/whole", tmp_path / "new folder" / "weights.h5", MD5, **BOUNDS)

    assert path.read_bytes() == BODY
    assert [entry.name for entry in path.parent.iterdir()] == ["weights.h5"]


@pytest.mark.parametrize("page", ["missing", "half"])
def test_what_is_missing_or_cut_short_leaves_nothing(server: str, tmp_path: Path, page: str) -> None:
    with pytest.raises(WeightsUnavailable):
        fetch(f"{server}/{page}", tmp_path / "weights.h5", MD5, **BOUNDS)

    assert list(tmp_path.iterdir()) == []


def test_other_bytes_are_refused_and_leave_the_old_file(server: str, tmp_path: Path) -> None:
    (tmp_path / "weights.h5").write_bytes(b"old")

    with pytest.raises(WeightsUnavailable, match="MD5"):
        fetch(f"{server}/whole", tmp_path / "weights.h5", Digest("md5", "0" * 32), **BOUNDS)

    assert (tmp_path / "weights.h5").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_silent_server_is_given_up_in_bounded_time(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"

        with pytest.raises(WeightsUnavailable):
            fetch(url, tmp_path / "weights.h5", MD5, **BOUNDS, patience_s=0.2)


def test_a_closed_port_is_given_up_at_once(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable):
        fetch("http://127.0.0.1:9/", tmp_path / "weights.h5", MD5, **BOUNDS)


def test_sha256_is_checked_as_well(server: str, tmp_path: Path) -> None:
    right = Digest("sha256", hashlib.sha256(BODY).hexdigest())

    assert right.fits(fetch(f"{server}/whole", tmp_path / "weights.h5", right, **BOUNDS))
    with pytest.raises(WeightsUnavailable, match="SHA256"):
        fetch(f"{server}/whole", tmp_path / "other.h5", Digest("sha256", "0" * 64), **BOUNDS)


def test_a_file_longer_than_expected_is_given_up_while_it_comes(server: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match="longer than 1000 bytes"):
        fetch(f"{server}/whole", tmp_path / "weights.h5", MD5, most_bytes=1000, within_s=60.0)

    assert list(tmp_path.iterdir()) == []


def test_a_server_that_dribbles_is_given_up_when_its_time_is_over(server: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match="did not arrive within 0 s"):
        fetch(f"{server}/dribble", tmp_path / "weights.h5", MD5, most_bytes=len(BODY), within_s=0.3)

    assert list(tmp_path.iterdir()) == []


def test_a_file_that_breaks_off_is_told_by_its_length(server: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match=f"broke off after 1000 of {len(BODY)} bytes"):
        fetch(f"{server}/half", tmp_path / "weights.h5", MD5, **BOUNDS)


def test_a_strangers_words_cannot_move_a_terminals_cursor() -> None:
    assert printable("404 \x1b]0;gotcha\x07 not\r\n found.") == "404 ]0;gotcha not found"
    assert len(printable("a" * 10_000)) < 400


def test_a_folder_is_a_mirror_too(tmp_path: Path) -> None:
    (tmp_path / "here.h5").write_bytes(BODY)

    assert fetch((tmp_path / "here.h5").as_uri(), tmp_path / "copy.h5", MD5, **BOUNDS).read_bytes() == BODY


@pytest.mark.parametrize("url", ["file:///none/such", "http://", "http://[", "nonsense"])
def test_an_address_that_leads_nowhere_is_a_sentence(url: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match="cannot be fetched"):
        fetch(url, tmp_path / "weights.h5", MD5, **BOUNDS)
