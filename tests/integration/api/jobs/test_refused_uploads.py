"""A job or batch that is refused leaves nothing of the pictures that came with it."""

import json
from io import BytesIO
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select

from shared.db.base import Database
from shared.db.models import Image, ImageOwner
from tests.integration.api.refusals import encoded
from tests.integration.api.refused_images import stored
from tests.support.factories import add_job, add_key
from tests.support.flask_clients import client_with

PHOTO, PAINTING = encoded(24, 16, seed=1), encoded(24, 16, seed=2)


def form(request: dict[str, Any] | None = None) -> dict[str, Any]:
    files = {"content": (BytesIO(PHOTO), "a.png"), "style": (BytesIO(PAINTING), "b.png")}
    return files | {"request": json.dumps(request or {})}


def left(database, settings) -> tuple[int, int, int]:
    """Return how many rows, owners and files of images there are."""
    with database.reading() as session:
        rows, owners = (session.scalar(select(func.count()).select_from(table)) for table in (Image, ImageOwner))
    return rows, owners, len(stored(settings))


@pytest.fixture
def full(app, database) -> FlaskClient:
    """A client whose owner has as many waiting jobs as it may; its picture is the only one."""
    add_job(database, owner="shop")
    return client_with(app, add_key(database, "client", "shop", max_waiting=1))


def test_a_job_beyond_a_quota_leaves_no_picture(full, database, settings) -> None:
    before = left(database, settings)
    answer = full.post("/v1/jobs", data=form())
    assert (answer.status_code, answer.json["code"]) == (429, "quota_exceeded")
    assert left(database, settings) == before


def test_a_job_under_a_taken_id_leaves_no_picture(client, database, settings) -> None:
    job_id = "01a20750-e506-729a-9bdf-2a44836107f2"
    add_job(database, id=job_id)
    before = left(database, settings)
    answer = client.put(f"/v1/jobs/{job_id}", data=form())
    assert (answer.status_code, answer.json["code"]) == (409, "id_taken")
    assert left(database, settings) == before


@pytest.mark.parametrize(
    "wrong", [{"params": {"steps": 0}}, {"init_image": f"sha256:{'0' * 64}"}, {"time_limit_s": 1e9}]
)
def test_a_job_that_is_invalid_leaves_no_picture(client, database, settings, wrong) -> None:
    assert client.post("/v1/jobs", data=form(wrong)).status_code == 422
    assert left(database, settings) == (0, 0, 0)


def test_a_batch_that_is_invalid_leaves_no_picture(client, database, settings) -> None:
    wrong = {"params": {"steps": 0}}
    files = {"style": (BytesIO(PAINTING), "b.png"), "request": json.dumps(wrong)}
    assert client.post("/v1/batches", data=files).status_code == 422
    assert left(database, settings) == (0, 0, 0)


def test_a_refused_job_takes_no_picture_that_was_there_before(full, client, database, settings) -> None:
    client.post("/v1/images", data=PHOTO, content_type="image/png")
    before = left(database, settings)
    assert full.post("/v1/jobs", data=form()).status_code == 429
    assert left(database, settings) == before


def test_bytes_that_another_request_has_recorded_meanwhile_stay(full, client, database, settings, monkeypatch) -> None:
    """They are the same picture's; whoever recorded them needs them."""
    writing = Database.writing

    def after_another(self, name="write"):
        if name == "submit":
            assert client.post("/v1/images", data=PHOTO, content_type="image/png").status_code == 201
        return writing(self, name)

    before = left(database, settings)
    monkeypatch.setattr(Database, "writing", after_another)
    assert full.post("/v1/jobs", data=form()).status_code == 429
    assert left(database, settings) == (before[0] + 1, before[1] + 1, before[2] + 1)


def test_a_job_that_is_queued_has_its_pictures(client, database, settings) -> None:
    answer = client.post("/v1/jobs", data=form())
    assert answer.status_code == 202
    assert left(database, settings) == (2, 2, 2)
