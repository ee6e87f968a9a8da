"""What a job may ask of its result: sixteen bits, its photograph's metadata, a download named after it."""

import io
import json
import zipfile

import numpy as np
import pytest
import tifffile

from tests.integration.api.batch_requests import steer
from tests.support.fakes import RampPainter
from tests.support.photographs import CAMERA, LENS, PRIVATE, TAKEN, photograph
from worker.jobs.runner import run


@pytest.fixture
def painter() -> RampPainter:
    return RampPainter()


@pytest.fixture
def photo_id(client) -> str:
    return client.post("/v1/images", data=photograph(width=64, height=48), content_type="image/jpeg").json["id"]


def submitted(client, photo_id: str, **request) -> str:
    body = {"content": photo_id, "style": photo_id, "params": {"size": 64, "steps": 3}, **request}
    answer = client.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.json
    return answer.json["id"]


def painted(client, context, photo_id: str, **request) -> str:
    job_id = submitted(client, photo_id, **request)
    run([job_id], context)
    return job_id


def result(client, job_id: str, **query) -> bytes:
    answer = client.get(f"/v1/jobs/{job_id}/result", query_string=query)
    assert answer.status_code == 200, answer.json
    return answer.data


def levels(data: bytes) -> int:
    return len(np.unique(tifffile.imread(io.BytesIO(data))[..., 0]))


def test_a_result_of_sixteen_bits_has_more_levels_than_the_same_of_eight(client, context, photo_id) -> None:
    deep, flat = (painted(client, context, photo_id, depth=depth) for depth in (16, 8))
    assert levels(result(client, deep, format="tiff")) > 256 >= levels(result(client, flat, format="tiff"))
    assert levels(result(client, deep, format="tiff", strength=0.5)) > 256
    assert result(client, deep)[24] == 16
    assert result(client, deep, strength=0.5)[24] == 16
    assert result(client, flat)[24] == 8
    shown = client.get(f"/v1/jobs/{deep}").json
    assert (shown["depth"], shown["result"]["depth"]) == (16, 16)
    manifest = client.get(f"/v1/jobs/{deep}/manifest").json
    assert (manifest["depth"], manifest["keep_metadata"], manifest["result"]["depth"]) == (16, False, 16)
    for kind in ("jpeg", "webp"):
        assert result(client, deep, format=kind)
    assert client.get(f"/v1/jobs/{deep}/preview").status_code == 200


def test_metadata_is_kept_where_it_is_asked_for_and_nowhere_else(client, context, photo_id) -> None:
    asked, plain = (painted(client, context, photo_id, keep_metadata=keep) for keep in (True, False))
    for kind in ("png", "jpeg", "webp", "tiff"):
        with_it, without = (result(client, job_id, format=kind) for job_id in (asked, plain))
        assert all(fact.encode() in with_it for fact in (CAMERA, LENS, TAKEN))
        assert not any(fact.encode() in without for fact in (CAMERA, LENS, TAKEN))
        assert not any(secret in data for secret in PRIVATE for data in (with_it, without))


@pytest.mark.parametrize("output", [{"depth": 16}, {"keep_metadata": True}])
def test_a_result_is_reused_by_a_job_that_asks_the_same_of_it(client, context, photo_id, output) -> None:
    first = painted(client, context, photo_id)
    other = painted(client, context, photo_id, reuse=True, **output)
    again = painted(client, context, photo_id, reuse=True, **output)
    plain = painted(client, context, photo_id, reuse=True)
    reused = {job_id: client.get(f"/v1/jobs/{job_id}").json["reused_from"] for job_id in (other, again, plain)}
    assert reused == {other: None, again: other, plain: first}
    assert result(client, again) == result(client, other) != result(client, plain)


def test_a_retry_asks_the_same_of_its_result(client, context, photo_id) -> None:
    job_id = painted(client, context, photo_id, depth=16, keep_metadata=True, name="holiday.jpg")
    again = client.post(f"/v1/jobs/{job_id}/retry").json
    assert (again["depth"], again["keep_metadata"], again["name"]) == (16, True, "holiday.jpg")


@pytest.mark.parametrize("wrong", [{"depth": 12}, {"depth": "16"}, {"keep_metadata": "yes"}, {"name": ""}])
def test_what_no_result_can_be_is_refused(client, photo_id, wrong) -> None:
    answer = client.post("/v1/jobs", json={"content": photo_id, "style": photo_id, **wrong})
    assert (answer.status_code, answer.json["code"]) == (422, "invalid_params")


def test_the_items_of_a_batch_and_its_archive_have_what_the_batch_asks_for(client, context, photo_id) -> None:
    body = {"style": photo_id, "params": {"size": 64, "steps": 3}, "depth": 16, "keep_metadata": True}
    batch = client.post("/v1/batches", json=body).json
    assert (batch["depth"], batch["keep_metadata"]) == (16, True)
    client.post(f"/v1/batches/{batch['id']}/items", json=[{"key": "2030/holiday.jpg", "content": photo_id}])
    steer(client, batch, "start")
    [item] = client.get(f"/v1/batches/{batch['id']}/items").json["jobs"]
    run([item["id"]], context)
    with zipfile.ZipFile(io.BytesIO(client.get(f"/v1/batches/{batch['id']}/archive.zip").data)) as archive:
        data = archive.read("2030/holiday.png")
    assert data[24] == 16
    assert CAMERA.encode() in data
    assert disposition(client, item["id"]) == "inline; filename=holiday.png"


# -- names


def disposition(client, job_id: str, **query) -> str:
    return client.get(f"/v1/jobs/{job_id}/result", query_string=query).headers["Content-Disposition"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("holiday.jpg", "inline; filename=holiday.png"),
        ("C:\\Pictures\\holiday.jpg", "inline; filename=holiday.png"),
        ("../../etc/passwd", "inline; filename=passwd.png"),
        ("Häuser.jpg", "inline; filename=Hauser.png; filename*=UTF-8''H%C3%A4user.png"),
        ('a"; filename=evil.exe', 'inline; filename="a_; filename=evil.png"'),
        ("con.jpg", "inline; filename=_con.png"),
    ],
)
def test_a_download_is_named_after_the_photograph(client, context, photo_id, name, expected) -> None:
    job_id = painted(client, context, photo_id, name=name)
    assert disposition(client, job_id) == expected


def test_a_download_has_the_suffix_of_its_format(client, context, photo_id) -> None:
    job_id = painted(client, context, photo_id, name="holiday.jpg")
    found = [disposition(client, job_id, format=kind) for kind in ("jpeg", "webp", "tiff")]
    assert found == [f"inline; filename=holiday.{suffix}" for suffix in ("jpg", "webp", "tif")]


def test_a_job_without_a_name_has_its_id_for_one(client, context, photo_id) -> None:
    job_id = painted(client, context, photo_id)
    assert disposition(client, job_id) == f"inline; filename=atelier-{job_id}.png"


def test_the_name_of_a_file_that_comes_with_the_job_is_taken(client) -> None:
    form = {
        "content": (io.BytesIO(photograph()), "holiday.jpg"),
        "style": (io.BytesIO(photograph()), "painting.jpg"),
        "request": json.dumps({"params": {"size": 32}}),
    }
    assert client.post("/v1/jobs", data=form).json["name"] == "holiday.jpg"
    form["content"], form["style"] = (io.BytesIO(photograph()), "a.jpg"), (io.BytesIO(photograph()), "b.jpg")
    form["request"] = json.dumps({"name": "chosen.jpg"})
    assert client.post("/v1/jobs", data=form).json["name"] == "chosen.jpg"
