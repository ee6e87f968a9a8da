"""Uploads while the children that decode them die, are busy, or meet hostile pictures."""

import sys
import threading
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import psutil
import pytest
from PIL import Image

from shared.errors import DecoderUnavailable
from shared.imaging import codec
from shared.imaging.decoders.pool import Decoders
from tests.hostile import images
from tests.support.factories import add_key, picture
from tests.support.flask_clients import client_with
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.process, pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")]

#: What hostile pictures may add to the API's memory, in bytes.
_MOST_BYTES = 100 * 10**6


@pytest.fixture
def decoders(app) -> Decoders:
    """Those that the app uses."""
    return app.extensions["atelier"].decoders


def post(client, data: bytes):
    return client.post("/v1/images", data=data, content_type="image/png")


def children(decoders: Decoders) -> list[psutil.Process]:
    process = decoders._client._process
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(process.pid).children() if process is not None else []
    return []


def test_uploads_of_two_owners_survive_that_children_are_killed(app, database, decoders) -> None:
    ended, statuses = threading.Event(), []

    def upload(owner: str, number: int) -> None:
        client, seed = client_with(app, add_key(database, "client", owner)), 1000 * number
        while not ended.is_set():
            seed += 1
            statuses.append(post(client, codec.encode(picture(200, 150, seed), format="png")).status_code)

    owners = [threading.Thread(target=upload, args=(owner, number)) for number, owner in enumerate(("ann", "bob"))]
    for thread in owners:
        thread.start()
    for number in range(20):
        found = wait_until(lambda: children(decoders), "a child decodes")
        with suppress(psutil.NoSuchProcess):
            found[number % len(found)].kill()
        before = len(statuses)
        wait_until(lambda before=before: len(statuses) > before, "the next picture is taken")
    ended.set()
    for thread in owners:
        thread.join(120)
    assert set(statuses) == {201}


def test_where_no_child_is_free_in_time_the_answer_is_503_and_when_to_try_again(client, png, monkeypatch) -> None:
    def busy(*_, **__):
        raise DecoderUnavailable("Too many pictures are being decoded; try again in a moment.")

    monkeypatch.setattr(Decoders, "inspect", busy)
    answer = post(client, png)
    assert (answer.status_code, answer.json["code"]) == (503, "decoder_unavailable")
    assert int(answer.headers["Retry-After"]) > 0


def test_hostile_pictures_leave_the_apis_memory_as_it_is(client, png) -> None:
    assert post(client, png).status_code == 201
    files = [file for file in images.hidden_bombs() if len(file.data) < 2**20]
    status = Path("/proc/self/status")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak counts from here on
    held = psutil.Process().memory_info().rss
    for file in files:
        answer = post(client, file.data)
        assert answer.status_code < 500, file.name
    peak = next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    assert 1024 * peak - held < _MOST_BYTES


def test_no_foreign_picture_is_decoded_in_the_apis_own_process(client, png, monkeypatch) -> None:
    def here(*_, **__):
        pytest.fail("it was decoded here")

    monkeypatch.setattr(codec, "opened", here)
    image_id = post(client, png).json["id"]
    mask = BytesIO()
    Image.new("L", (24, 16), 200).save(mask, "PNG")
    mask_id = post(client, mask.getvalue()).json["id"]
    styles = [{"image": image_id, "weight": 1.0, "mask": mask_id}]
    assert client.post("/v1/jobs", json={"content": image_id, "styles": styles}).status_code == 202
    batch = client.post("/v1/batches", json={"styles": styles})
    assert batch.status_code == 201, batch.json
    form = {"file": (BytesIO(codec.encode(picture(seed=9), format="png")), "a.png")}
    added = client.post(f"/v1/batches/{batch.json['id']}/items", data=form, content_type="multipart/form-data")
    assert added.json["added"] == 1, added.json
    matrix = {"contents": [image_id], "styles": [image_id]}
    sheet = client.post("/v1/batches", json={"matrix": matrix}).json
    assert client.get(f"/v1/batches/{sheet['id']}/sheet.webp").status_code == 200
