"""A greedy owner stores as much as its share, by whatever way bytes come, and nobody else notices."""

import json
from io import BytesIO

import pytest

from api.app import create_app
from shared.db import stored_bytes
from tests.hostile.archives import zipped
from tests.integration.api.batch_requests import paint
from tests.integration.api.refusals import encoded
from tests.integration.api.refused_images import stored
from tests.support.factories import add_image, add_job, add_key
from tests.support.flask_clients import client_with

PNG = [encoded(24, 16, seed=seed) for seed in range(6)]
#: Room for three of these pictures and part of a fourth.
ROOM = sum(len(data) for data in PNG[:3]) + 10


@pytest.fixture
def ann(app, database):
    return client_with(app, add_key(database, "client", "ann", max_stored_bytes=ROOM))


@pytest.fixture
def bob(app, database):
    return client_with(app, add_key(database, "client", "bob", max_stored_bytes=ROOM))


def upload(client, data: bytes):
    return client.post("/v1/images", data=data, content_type="image/png")


def submit(client, content: bytes, style: bytes):
    files = {"content": (BytesIO(content), "a.png"), "style": (BytesIO(style), "b.png")}
    return client.post("/v1/jobs", data=files | {"request": json.dumps({"params": {"size": 32}})})


def add_archive(client, *pictures: bytes):
    batch = client.post("/v1/batches", json=style_of(client)).json
    archive = zipped({f"{number}.png": data for number, data in enumerate(pictures)})
    return client.post(f"/v1/batches/{batch['id']}/items", data=archive, content_type="application/zip")


def style_of(client) -> dict:
    return {"styles": [{"image": upload(client, PNG[0]).json["id"]}]}


def refused(answer) -> dict:
    assert (answer.status_code, answer.json["code"], answer.json["unit"]) == (429, "quota_exceeded", "bytes")
    assert int(answer.headers["Retry-After"]) > 0
    return answer.json


def counted(database, owner: str) -> int:
    with database.reading() as session:
        return stored_bytes.total(session, owner)


def test_uploads_reach_the_bound_and_no_further_while_others_go_on(ann, bob, settings) -> None:
    assert [upload(ann, data).status_code for data in PNG[:4]] == [201, 201, 201, 429]
    told = refused(upload(ann, PNG[4]))
    assert (told["limit"], told["used"]) == (ROOM, ROOM - 10)
    assert len(stored(settings)) == 3, "of a refused picture nothing stays"
    assert upload(ann, PNG[0]).status_code == 200, "what is stored already takes no room"
    assert upload(bob, PNG[4]).status_code == 201


def test_the_pictures_of_a_form_count_together(ann, bob, settings) -> None:
    assert submit(ann, PNG[0], PNG[1]).status_code == 202
    refused(submit(ann, PNG[2], PNG[3]))
    assert len(stored(settings)) == 2
    assert submit(ann, PNG[2], PNG[0]).status_code == 202
    assert submit(bob, PNG[2], PNG[3]).status_code == 202


def test_an_archive_ends_where_the_room_does(ann, bob) -> None:
    assert refused(add_archive(ann, *PNG))["unit"] == "bytes"
    assert upload(ann, PNG[5]).status_code == 429
    assert add_archive(bob, *PNG[:2]).json["added"] == 2


def test_styles_of_a_batch_count(ann) -> None:
    for data in PNG[:3]:
        upload(ann, data)
    refused(ann.post("/v1/batches", data={"style": (BytesIO(PNG[4]), "b.png"), "request": "{}"}))


def test_results_may_exceed_the_bound_and_new_work_is_then_refused_until_jobs_are_deleted(
    app, client, database, ann
) -> None:
    greedy = client_with(app, add_key(database, "client", "ann", max_stored_bytes=6))
    image = add_image(database, b"12345", owner="ann")
    first, waiting = (add_job(database, owner="ann", image_id=image) for _ in range(2))
    paint(database, first)
    refused(greedy.post(f"/v1/jobs/{first}/retry"))
    assert ann.post(f"/v1/jobs/{first}/retry").status_code == 202, "another key of the owner may have more room"
    paint(database, waiting)
    assert counted(database, "ann") == 7
    for job_id in (first, waiting):
        assert greedy.delete(f"/v1/jobs/{job_id}").status_code == 204
    assert counted(database, "ann") == 5
    assert submit(greedy, PNG[0], PNG[1]).status_code == 429, "its pictures do not fit"


def test_a_key_without_a_limit_has_the_servers(settings, database) -> None:
    app = create_app(settings.model_copy(update={"stored_bytes": len(PNG[0])}))
    plain = client_with(app, add_key(database, "client", "ann"))
    assert [upload(plain, data).status_code for data in PNG[:2]] == [201, 429]
    richer = client_with(app, add_key(database, "client", "ann", max_stored_bytes=ROOM))
    assert upload(richer, PNG[1]).status_code == 201


def test_by_default_nothing_is_limited(client) -> None:
    assert [upload(client, data).status_code for data in PNG] == [201] * 6
