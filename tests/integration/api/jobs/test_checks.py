"""What is checked of a job's pictures before it is queued."""

from io import BytesIO

import pytest

from tests.integration.api.refusals import encoded, refusal
from tests.integration.api.refused_images import stored
from tests.support.factories import add_image


@pytest.fixture
def narrow_id(client) -> str:
    """A picture of 400 × 20 px, which is under 16 px high at any size below 320."""
    return client.post("/v1/images", data=encoded(400, 20), content_type="image/png").json["id"]


@pytest.mark.parametrize("narrow", ["content", "style"])
def test_a_picture_too_narrow_at_its_size_is_refused_with_the_least_size(client, image_id, narrow_id, narrow) -> None:
    pictures = {"content": image_id, "style": image_id, narrow: narrow_id}
    mistake = refusal(client.post("/v1/jobs", json={**pictures, "params": {"size": 128}}))
    assert (mistake["pointer"], mistake["least"], mistake["unit"]) == ("/params/size", 320, "px")
    assert client.get("/v1/jobs").json["jobs"] == []
    assert client.post("/v1/jobs", json={**pictures, "params": {"size": mistake["least"]}}).status_code == 202


def test_the_contents_own_size_is_refused_above_the_largest(client, database, image_id) -> None:
    large = add_image(database, b"large", width=20_000, height=15_000)
    request = {"content": large, "style": image_id, "params": {"size": 0}}
    mistake = refusal(client.post("/v1/jobs", json=request))
    assert (mistake["pointer"], mistake["le"]) == ("/params/size", 16_383)
    assert client.post("/v1/jobs", json={**request, "params": {"size": 512}}).status_code == 202


def test_a_multipart_job_too_narrow_keeps_nothing(client, settings, png) -> None:
    body = {"content": (BytesIO(encoded(400, 20)), "x"), "style": (BytesIO(png), "x")}
    refusal(client.post("/v1/jobs", data={**body, "request": '{"params": {"size": 64}}'}))
    assert stored(settings) == []
