"""Uploading images, good and bad."""

from datetime import UTC, datetime
from io import BytesIO

import pytest
from sqlalchemy import update

from api.app import create_app
from shared.db.models import Image, ImageOwner
from shared.imaging import codec
from tests.integration.api.refused_images import BAD, stored
from tests.support.factories import add_key, picture
from tests.support.flask_clients import client_with
from tests.support.picture_kinds import held, made


def test_an_uploaded_image_is_described_and_given_back_byte_for_byte(client, png) -> None:
    answer = client.post("/v1/images", data=png, content_type="image/png")
    assert answer.status_code == 201
    assert {k: answer.json[k] for k in ("width", "height", "format", "bytes")} == {
        "width": 24,
        "height": 16,
        "format": "png",
        "bytes": len(png),
    }
    assert client.get(answer.headers["Location"]).json == answer.json
    content = client.get(answer.json["links"]["content"])
    assert content.data == png
    assert content.headers["Content-Disposition"].startswith("attachment")
    assert content.headers["X-Content-Type-Options"] == "nosniff"


def test_known_bytes_are_one_image_however_they_come(client, png) -> None:
    first = client.post("/v1/images", data=png, content_type="image/png")
    again = client.post("/v1/images", data={"file": (BytesIO(png), "x.jpg")})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json["id"] == again.json["id"]


def test_an_image_that_somebody_else_has_tells_its_new_owner_nothing_of_that(app, client, database, png) -> None:
    others = client.post("/v1/images", data=png, content_type="image/png").json
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    with database.writing() as session:
        session.execute(update(Image).values(created_at=long_ago))
        session.execute(update(ImageOwner).values(created_at=long_ago))
    newcomer = client_with(app, add_key(database, "client", "eve"))
    answer = newcomer.post("/v1/images", data=png, content_type="image/png")
    assert answer.status_code == 201
    assert answer.json["created_at"] > "2026"
    assert newcomer.get(answer.json["links"]["self"]).json == answer.json
    assert client.get(others["links"]["self"]).json["created_at"] == "2020-01-01T00:00:00.000Z"


def test_the_bytes_say_the_format_and_not_the_label(client) -> None:
    jpeg = codec.encode(picture(), format="jpeg")
    assert client.post("/v1/images", data=jpeg, content_type="image/png").json["format"] == "jpeg"


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff", "heic", "avif", "gif", "bmp"])
def test_every_format_is_taken_and_given_back_under_its_name(client, kind) -> None:
    data = made(kind, held())
    described = client.post("/v1/images", data=data, content_type="image/*").json
    assert (described["format"], described["width"], described["height"]) == (kind, 96, 64)
    content = client.get(described["links"]["content"])
    assert (content.data, content.content_type) == (data, f"image/{kind}")
    assert content.headers["Content-Disposition"].endswith(f".{kind}")


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("way", ["raw", "multipart"])
def test_a_bad_image_is_refused_and_nothing_is_kept(client, settings, kind, way) -> None:
    data, status, code = BAD[kind]
    if way == "raw":
        answer = client.post("/v1/images", data=data, content_type="image/png")
    else:
        answer = client.post("/v1/images", data={"file": (BytesIO(data), "x.png")})
    assert (answer.status_code, answer.json["code"]) == (status, code)
    assert answer.content_type == "application/problem+json"
    assert stored(settings) == []


def test_more_bytes_than_allowed_are_refused(settings, database, png, key) -> None:
    app = create_app(settings.model_copy(update={"max_upload_bytes": 100}))
    answer = client_with(app, key).post("/v1/images", data=png, content_type="image/png")
    assert (answer.status_code, answer.json["code"], answer.json["max_bytes"]) == (413, "image_too_large", 100)


def test_more_pixels_than_allowed_are_refused(settings, database, png, key) -> None:
    app = create_app(settings.model_copy(update={"max_upload_px": 100}))
    answer = client_with(app, key).post("/v1/images", data=png, content_type="image/png")
    assert (answer.status_code, answer.json["width"], answer.json["height"]) == (413, 24, 16)


def test_another_media_type_is_refused(client, png) -> None:
    answer = client.post("/v1/images", data=png, content_type="text/plain")
    assert (answer.status_code, answer.json["code"]) == (415, "unsupported_media_type")


def test_multipart_without_a_file_is_refused(client) -> None:
    answer = client.post("/v1/images", data={"other": "x"}, content_type="multipart/form-data")
    assert (answer.status_code, answer.json["code"]) == (400, "invalid_request")


@pytest.mark.parametrize("image_id", ["sha256:" + "0" * 64, "x", "..%2f..%2fetc%2fpasswd"])
def test_an_unknown_image_is_not_found(client, image_id) -> None:
    assert client.get(f"/v1/images/{image_id}").status_code == 404
    assert client.get(f"/v1/images/{image_id}/content").status_code == 404
