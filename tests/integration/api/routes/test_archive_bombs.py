"""Archives that are to exhaust the API: each is refused by name, takes little memory, and leaves nothing behind."""

from collections.abc import Iterator

import httpx
import psutil
import pytest

from shared.imaging import codec
from tests.hostile.archive_bombs import bombs
from tests.hostile.archives import Crafted
from tests.support.api_server import Served, serving
from tests.support.factories import picture
from tests.support.process_use import measured

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
        style = client.post(
            "/v1/images", content=codec.encode(picture(), format="png"), headers={"Content-Type": "image/png"}
        ).json()["id"]
        batch = client.post("/v1/batches", json={"style": style, "preset": "fast"}).json()
        for archive in bombs():
            with measured(process) as use:
                answer = send(client, batch["id"], archive)
            if answer.json().get("code") not in archive.codes or use.grown_bytes > _GROWTH_BYTES:
                wrong.append((archive.what, answer.status_code, answer.json(), use))
        assert wrong == []
        assert client.get(f"/v1/batches/{batch['id']}").json()["counts"]["total"] == 0


def send(client: httpx.Client, batch_id: str, archive: Crafted) -> httpx.Response:
    headers = {"Content-Type": archive.media_type}
    return client.post(f"/v1/batches/{batch_id}/items", content=archive.data, headers=headers)
