"""What a painting starts from: a picture of the client's, or what another job painted."""

from io import BytesIO
from typing import Any

import pytest

from shared.db.jobs import queries, transitions
from shared.errors import Diverged
from shared.painting.keys import group_key
from shared.painting.params import StyleParams
from tests.integration.api.refusals import encoded, refusal
from tests.integration.api.refused_images import stored
from tests.support.claims import claim
from tests.support.factories import add_job, add_key
from tests.support.flask_clients import client_with
from worker.jobs.runner import run


def submit(client, image_id: str, **wishes: Any) -> Any:
    return client.post("/v1/jobs", json={"content": image_id, "style": image_id, "params": {"size": 32}, **wishes})


def row_of(database, job_id: str):
    with database.reading() as session:
        return queries.get_job(session, job_id)


@pytest.fixture
def painted(context, job_id) -> str:
    """A job that has succeeded."""
    run([job_id], context)
    return job_id


def test_a_job_may_start_from_an_uploaded_picture(client, database, image_id) -> None:
    start = client.post("/v1/images", data=encoded(30, 20, 1), content_type="image/png").json["id"]
    job = submit(client, image_id, init_image=start).json
    assert job["init_image"] == start
    row = row_of(database, job["id"])
    assert (row.init_id, row.group_key) == (start, None)


def test_a_start_may_come_along_with_a_multipart_job(client, png) -> None:
    start = encoded(30, 20, 1)
    body = {name: (BytesIO(data), "x") for name, data in (("content", png), ("style", png), ("init_image", start))}
    job = client.post("/v1/jobs", data=body).json
    assert client.get(f"/v1/images/{job['init_image']}/content").data == start


def test_an_unknown_start_is_named(client, image_id) -> None:
    unknown = "sha256:" + "0" * 64
    answer = submit(client, image_id, init_image=unknown)
    assert (answer.status_code, answer.json["code"], answer.json["images"]) == (422, "unknown_image", [unknown])


def test_two_starts_in_one_multipart_job_are_refused(client, settings, png) -> None:
    body = {"content": (BytesIO(png), "x"), "style": (BytesIO(png), "x")}
    answer = client.post("/v1/jobs", data={**body, "init_image": [(BytesIO(png), "x"), (BytesIO(png), "x")]})
    assert refusal(answer)["pointer"] == "/init_image"
    assert stored(settings) == []


def test_a_job_may_start_from_what_another_painted(client, database, image_id, painted) -> None:
    job = submit(client, image_id, init_job=painted).json
    result = client.get(f"/v1/jobs/{painted}/result").data
    assert client.get(f"/v1/images/{job['init_image']}/content").data == result
    assert row_of(database, job["id"]).init_id == job["init_image"]


def test_a_job_that_has_not_succeeded_is_no_start(client, database, image_id, job_id) -> None:
    mistake = refusal(submit(client, image_id, init_job=job_id))
    assert (mistake["pointer"], "queued" in mistake["detail"]) == ("/init_job", True)
    held = claim(database, job_id)
    with database.writing() as session:
        left = {"key": "k", "width": 1, "height": 1, "bytes": 1, "format": "png", "partial": True}
        transitions.fail(session, held, Diverged(), result=left)
    assert "failed" in refusal(submit(client, image_id, init_job=job_id))["detail"]


def test_another_owners_job_is_as_unknown_as_one_that_never_was(app, database, png, painted) -> None:
    stranger = client_with(app, add_key(database, "client", "other"))
    image_id = stranger.post("/v1/images", data=png, content_type="image/png").json["id"]
    mistake = refusal(submit(stranger, image_id, init_job=painted))
    assert mistake == {"pointer": "/init_job", "detail": f"/init_job: There is no job {painted}."}


def test_a_job_whose_picture_is_gone_is_no_start(client, database, store, image_id, painted) -> None:
    store.delete(row_of(database, painted).result["key"])
    mistake = refusal(submit(client, image_id, init_job=painted))
    assert (mistake["pointer"], "gone" in mistake["detail"]) == ("/init_job", True)


def test_an_unknown_job_is_no_start(client, image_id) -> None:
    mistake = refusal(submit(client, image_id, init_job="01a20750-e506-729a-9bdf-2a44836107f2"))
    assert (mistake["pointer"], "no job 01a20750" in mistake["detail"]) == ("/init_job", True)


def test_a_refused_job_does_not_keep_the_picture_that_it_would_have_started_from(
    client, settings, image_id, painted
) -> None:
    before = stored(settings)
    refusal(submit(client, image_id, init_job=painted, params={"size": 16}))
    assert stored(settings) == before


def test_jobs_that_can_be_painted_together_have_one_key(client, database, image_id) -> None:
    first, second, other = (
        row_of(database, submit(client, image_id, weights=weights).json["id"]) for weights in ("auto", None, "patch")
    )
    params = StyleParams.model_validate(first.params)
    assert first.group_key == group_key(params, first.styles, (16, 24), None, None)
    assert first.group_key == second.group_key
    assert other.group_key not in (None, first.group_key)


def test_the_start_of_an_older_job_is_shown_as_none(client, database) -> None:
    assert client.get(f"/v1/jobs/{add_job(database)}").json["init_image"] is None
