"""Masks: where each style is painted, and what is wrong with one."""

from io import BytesIO
from typing import Any

import numpy as np
import pytest

from shared.db.jobs import queries
from shared.imaging import codec
from shared.storage.store import image_key
from tests.integration.api.refusals import encoded, refusal
from tests.integration.api.refused_images import BAD, stored


def mask(width: int = 24, height: int = 16, *, light: float = 1.0, alpha: float | None = None) -> bytes:
    """A picture whose left half is black and whose right half is as light, and all of it as opaque, as told."""
    rgb = np.zeros((height, width, 3), np.float32)
    rgb[:, width // 2 :] = light
    opacity = None if alpha is None else np.full((height, width), alpha, np.float32)
    return codec.encode(rgb, opacity, format="png")


def kept(client, data: bytes) -> str:
    return client.post("/v1/images", data=data, content_type="image/png").json["id"]


def masked(client, image_id: str, mask_id: str) -> Any:
    """Ask for a blend of two styles, of which the second has a mask."""
    styles = [{"image": image_id}, {"image": image_id, "weight": 2, "mask": mask_id}]
    return client.post("/v1/jobs", json={"content": image_id, "styles": styles, "params": {"size": 32}})


def test_a_mask_is_kept_with_its_style(client, database, image_id) -> None:
    mask_id = kept(client, mask())
    job = masked(client, image_id, mask_id).json
    assert [style["mask"] for style in job["styles"]] == [None, mask_id]
    with database.reading() as session:
        row = queries.get_job(session, job["id"])
    assert row.styles == [{"image": image_id, "weight": 1.0}, {"image": image_id, "weight": 2.0, "mask": mask_id}]
    assert row.group_key is None


@pytest.mark.parametrize("size", [(12, 8), (2400, 1600), (97, 64)])
def test_a_mask_of_the_contents_proportions_may_have_any_size(client, image_id, size) -> None:
    assert masked(client, image_id, kept(client, mask(*size))).status_code == 202


@pytest.mark.parametrize("size", [(16, 24), (24, 17), (48, 31), (24, 15)])
def test_a_mask_of_other_proportions_is_refused(client, image_id, size) -> None:
    mistake = refusal(masked(client, image_id, kept(client, mask(*size))), "invalid_mask")
    assert mistake["pointer"] == "/styles/1/mask"
    assert f"{size[0]} × {size[1]} px and the content 24 × 16 px" in mistake["detail"]
    assert client.get("/v1/jobs").json["jobs"] == []


@pytest.mark.parametrize("shades", [{"light": 0.0}, {"light": 1 / 255}, {"light": 1 / 255, "alpha": 0.5}])
def test_a_mask_that_paints_nowhere_is_refused(client, image_id, shades) -> None:
    mistake = refusal(masked(client, image_id, kept(client, mask(**shades))), "invalid_mask")
    assert mistake["pointer"] == "/styles/1/mask"
    assert client.get("/v1/jobs").json["jobs"] == []


def test_a_faint_mask_is_taken(client, image_id) -> None:
    assert masked(client, image_id, kept(client, mask(light=3 / 255))).status_code == 202


def test_an_unknown_mask_is_named_like_any_other_picture(client, image_id) -> None:
    unknown = "sha256:" + "0" * 64
    answer = masked(client, image_id, unknown)
    assert (answer.status_code, answer.json["code"], answer.json["images"]) == (422, "unknown_image", [unknown])


def test_a_mask_whose_bytes_are_gone_is_unknown(client, store, image_id) -> None:
    mask_id = kept(client, mask())
    store.delete(image_key(mask_id))
    answer = masked(client, image_id, mask_id)
    assert (answer.status_code, answer.json["code"], answer.json["images"]) == (422, "unknown_image", [mask_id])


def multipart(png: bytes, *masks: bytes, styles: int = 2) -> dict[str, Any]:
    files = {"content": [png], "style": [png] * styles, "mask": masks}
    return {name: [(BytesIO(data), "x.png") for data in found] for name, found in files.items()}


def test_the_masks_of_a_multipart_job_go_with_the_styles_of_their_place(client, settings, png) -> None:
    left = mask()
    job = client.post("/v1/jobs", data=multipart(png, left)).json
    assert [style["mask"] is None for style in job["styles"]] == [False, True]
    assert client.get(f"/v1/images/{job['styles'][0]['mask']}/content").data == left


def test_more_masks_than_styles_are_refused(client, settings, png) -> None:
    answer = client.post("/v1/jobs", data=multipart(png, mask(), mask(), styles=1))
    assert (answer.status_code, answer.json["code"]) == (400, "invalid_request")
    assert stored(settings) == []


def test_a_multipart_job_with_an_empty_mask_keeps_nothing(client, settings, png) -> None:
    mistake = refusal(client.post("/v1/jobs", data=multipart(png, mask(), mask(light=0))), "invalid_mask")
    assert mistake["pointer"] == "/styles/1/mask"
    assert stored(settings) == []


@pytest.mark.parametrize("kind", BAD)
def test_a_mask_that_is_no_good_picture_keeps_nothing(client, settings, png, kind) -> None:
    data, status, code = BAD[kind]
    answer = client.post("/v1/jobs", data=multipart(png, data))
    assert (answer.status_code, answer.json["code"]) == (status, code)
    assert stored(settings) == []


def test_pictures_may_come_along_with_a_request_that_names_them(client, png) -> None:
    from json import dumps

    from shared.ids import image_id

    pictures = [png, encoded(30, 20, 1), mask()]
    content, style, where = map(image_id, pictures)
    request = {"content": content, "styles": [{"image": style, "weight": 3, "mask": where}]}
    body = {"request": dumps(request), "image": [(BytesIO(data), "x") for data in pictures]}
    answer = client.post("/v1/jobs", data=body)
    assert answer.status_code == 202
    assert answer.json["styles"] == request["styles"]
