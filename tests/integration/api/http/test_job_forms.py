"""Jobs sent as forms: no part of one is passed over in silence."""

import json
from io import BytesIO
from typing import Any

import pytest

from tests.integration.api.refusals import refusal
from tests.integration.api.refused_images import stored


def file(data: bytes) -> tuple[BytesIO, str]:
    return BytesIO(data), "x.png"


@pytest.fixture
def form(png) -> dict[str, Any]:
    """What makes a job."""
    return {"content": file(png), "style": file(png)}


@pytest.mark.parametrize(("name", "pointer"), [("stlye", "/stlye"), ("a/b~c", "/a~1b~0c"), ("", "/")])
@pytest.mark.parametrize("part", [file, lambda data: "text"])
def test_a_part_of_an_unknown_name_is_refused_by_its_name(client, settings, png, form, name, pointer, part) -> None:
    mistake = refusal(client.post("/v1/jobs", data={**form, name: part(png)}))
    assert mistake["pointer"] == pointer
    assert "the parts of a job are content, style, mask, init_image, image, request" in mistake["detail"]
    assert stored(settings) == []


def test_a_part_without_a_name_is_refused(client) -> None:
    body = b"--x\r\nContent-Disposition: form-data; filename=a\r\n\r\npicture\r\n--x--\r\n"
    answer = client.post("/v1/jobs", data=body, content_type="multipart/form-data; boundary=x")
    assert refusal(answer)["pointer"] == "/"


@pytest.mark.parametrize("name", ["content", "init_image", "request"])
def test_a_part_that_a_job_has_once_is_refused_when_it_comes_twice(client, settings, png, form, name) -> None:
    twice = [file(png), file(png)] if name != "request" else ["{}", file(b"{}")]
    assert refusal(client.post("/v1/jobs", data={**form, name: twice}))["pointer"] == f"/{name}"
    assert stored(settings) == []


@pytest.mark.parametrize("name", ["content", "style", "mask", "init_image", "image"])
def test_text_where_a_file_belongs_is_refused(client, png, form, name) -> None:
    mistake = refusal(client.post("/v1/jobs", data={**form, name: "photo.jpg"}))
    assert (mistake["pointer"], "as a file" in mistake["detail"]) == (f"/{name}", True)


@pytest.mark.parametrize("name", ["content", "styles"])
def test_what_comes_as_a_file_is_not_named_by_the_request_too(client, settings, image_id, form, name) -> None:
    before = stored(settings)
    named = image_id if name == "content" else [{"image": image_id}]
    mistake = refusal(client.post("/v1/jobs", data={**form, "request": json.dumps({name: named})}))
    assert mistake["pointer"] == f"/{name}"
    assert stored(settings) == before


def test_every_idle_part_is_told_at_once(client, png) -> None:
    answer = client.post("/v1/jobs", data={"photo": file(png), "painting": file(png)})
    assert [mistake["pointer"] for mistake in answer.json["errors"]] == ["/photo", "/painting"]
    assert answer.json["detail"].startswith("The request has 2 mistakes: /photo: ")


def test_an_id_of_ones_own_makes_no_difference(client, png, form) -> None:
    answer = client.put("/v1/jobs/6ba7b810-9dad-41d1-80b4-00c04fd430c8", data={**form, "photo": file(png)})
    assert refusal(answer)["pointer"] == "/photo"
