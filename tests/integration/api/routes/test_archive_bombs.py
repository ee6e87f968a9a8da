"""Archives that are to exhaust the API: each is refused by name, takes little memory, and leaves nothing behind."""

import io
import os
import socket
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from api.batches.archives.turns import PER_OWNER
from shared.imaging import codec
from tests.hostile.archives import PNG, Crafted
from tests.hostile.tar_bombs import tar_bombs
from tests.hostile.zip_bombs import zip_bombs
from tests.integration.api.batch_requests import LINES
from tests.support.api_server import Served, serving
from tests.support.factories import picture
from tests.support.process_use import cpu_s, measured
from tests.support.waiting import wait_until

#: How much memory one archive may take.
_GROWTH_BYTES = 100 * 2**20


@pytest.fixture
def served(settings, redis, key) -> Iterator[Served]:
    with serving(settings, key) as made:
        yield made


def api_process(served: Served) -> psutil.Process:
    """Return the process that answers requests; its parent only watches it."""
    (child,) = (
        each for each in psutil.Process(served.process.pid).children() if "decoders" not in " ".join(each.cmdline())
    )
    return child


def test_no_archive_takes_much_memory_or_is_taken(served) -> None:
    process, wrong = api_process(served), []
    with served.client() as client:
        batch_id = open_batch(client)
        for archive in (*zip_bombs(), *tar_bombs()):
            with measured(process) as use:
                answer = send(client, batch_id, archive)
            if answer.json().get("code") not in archive.codes or use.grown_bytes > _GROWTH_BYTES:
                wrong.append((archive.what, answer.status_code, answer.json(), use))
        assert wrong == []
        assert client.get(f"/v1/batches/{batch_id}").json()["counts"]["total"] == 0


def test_the_work_for_a_list_ends_when_its_client_leaves_though_much_of_it_is_unread(served) -> None:
    line = b'{"key": "%06d", "content": "sha256:' + b"0" * 64 + b'"}\n'
    with served.client() as client:
        path = f"/v1/batches/{open_batch(client)}/items"
        with leaving(served, path, b"".join(line % number for number in range(20_000)), LINES):
            pass
        wait_until(lambda: answered(served, path), "the work ends")
        assert answered(served, path) == [400]  # and not 200, as when all of it was read


def test_the_work_for_an_archive_ends_when_its_client_leaves(served) -> None:
    process = api_process(served)
    with served.client() as client:
        batch_id = open_batch(client)
        path, before_s = f"/v1/batches/{batch_id}/items", cpu_s(process)
        with leaving(served, path, many_damaged_pictures()):
            wait_until(lambda: cpu_s(process) > before_s + 0.3, "the archive is being read")
        wait_until(lambda: answered(served, path), "the work ends")
        assert answered(served, path) == [400]  # and not 422, as when all of it was read
        use = use_since([process, *process.children(recursive=True)])
        wait_until(lambda: use() < 0.05, "no processor time is used", every_s=0.5)
        assert client.get(f"/v1/batches/{batch_id}").json()["counts"]["total"] == 0


def test_an_owner_may_send_few_archives_at_once(app, client, batch) -> None:
    def post():
        return client.post(f"/v1/batches/{batch['id']}/items", data=b"PK", content_type="application/zip")

    owner = client.get(f"/v1/batches/{batch['id']}").json["owner"]
    with ExitStack() as sent:
        for _ in range(PER_OWNER):
            sent.enter_context(app.extensions["atelier"].archive_turns.sending(owner))
        refused = post()
        assert (refused.status_code, refused.json["code"]) == (429, "too_many_archives")
        assert refused.headers["Retry-After"]
        form = {"archive": (io.BytesIO(b"PK"), "a.zip")}
        assert client.post("/v1/batches", data=form).json["code"] == "too_many_archives"
    assert post().json["code"] == "corrupt_archive"


def many_damaged_pictures() -> bytes:
    """Make a zip that takes long to refuse, and whose every member is paid for by its size."""
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w") as archive:
        for number in range(8000):
            archive.writestr(f"{number}.png", PNG + os.urandom(300))
    return kept.getvalue()


@contextmanager
def leaving(served: Served, path: str, data: bytes, media_type: str = "application/zip") -> Iterator[None]:
    """Send items, and leave at the end of the block."""
    address = urlsplit(served.url)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {address.netloc}\r\nAuthorization: {served.headers['Authorization']}\r\n"
        f"Content-Type: {media_type}\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    with socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=20) as connection:
        connection.sendall(head.encode() + data)
        yield


def answered(served: Served, path: str) -> list[int]:
    """Return the statuses of the answers that were logged for a path."""
    return [line["status"] for line in served.lines("request_answered") if line["path"] == path]


def use_since(family: list[psutil.Process]) -> Callable[[], float]:
    """Return a function that returns the processor time that processes have used since it was last called."""
    last_s = [sum(map(cpu_s, family))]

    def since() -> float:
        last_s.append(sum(map(cpu_s, family)))
        return last_s[-1] - last_s[-2]

    return since


def open_batch(client: httpx.Client) -> str:
    """Open a batch; return its id."""
    png = codec.encode(picture(), format="png")
    style = client.post("/v1/images", content=png, headers={"Content-Type": "image/png"}).json()["id"]
    return str(client.post("/v1/batches", json={"style": style, "preset": "fast"}).json()["id"])


def send(client: httpx.Client, batch_id: str, archive: Crafted) -> httpx.Response:
    headers = {"Content-Type": archive.media_type}
    return client.post(f"/v1/batches/{batch_id}/items", content=archive.data, headers=headers)
