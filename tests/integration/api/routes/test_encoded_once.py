"""What an ended job or a matrix shows is encoded once, and not at all for a client that has it."""

import pytest

from shared.imaging import saving
from shared.imaging.decoders.pool import Decoders
from shared.storage.store import image_key
from tests.integration.api.dashboard.signing_in import signed_in
from worker.jobs.runner import run


@pytest.fixture
def encodings(monkeypatch) -> list[str]:
    """The encodings so far, by what made them."""
    made: list[str] = []

    def count(owner: object, name: str) -> None:
        encode = getattr(owner, name)

        def counted(*given: object, **named: object) -> object:
            made.append(name)
            return encode(*given, **named)

        monkeypatch.setattr(owner, name, counted)

    count(saving, "recode")
    count(Decoders, "mix")
    count(Decoders, "thumbnail_jpeg")
    return made


@pytest.fixture
def painted(client, job_id, context) -> str:
    run([job_id], context)
    return job_id


@pytest.fixture
def matrix_id(client, image_id, context) -> str:
    matrix = {"contents": [image_id], "styles": [image_id], "params": {"content_weight": [0.1, 0.4]}}
    made = client.post("/v1/batches", json={"matrix": matrix, "preset": "fast", "params": {"size": 32}}).json["id"]
    run([client.get(f"/v1/batches/{made}/items").json["jobs"][0]["id"]], context)
    return made


@pytest.mark.parametrize(
    ("path", "makers"),
    [
        ("preview", ["recode"]),
        ("preview?strength=0.5", ["mix"]),
        ("result?format=jpeg", ["recode"]),
        ("result?format=webp&strength=0.5", ["mix"]),
    ],
)
def test_a_finished_picture_is_encoded_once_and_not_for_those_who_have_it(
    client, painted, encodings, path, makers
) -> None:
    url = f"/v1/jobs/{painted}/{path}"
    first, second = client.get(url), client.get(url)
    assert (first.status_code, second.data, encodings) == (200, first.data, makers)
    encodings.clear()
    again = client.get(url, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data, encodings) == (304, b"", [])


def test_a_preview_has_another_tag_once_another_strength_is_saved(client, painted) -> None:
    url = f"/v1/jobs/{painted}/preview"
    tag = client.get(url).headers["ETag"]
    client.put(f"/v1/jobs/{painted}/strength", json={"strength": 0.5})
    changed = client.get(url, headers={"If-None-Match": tag})
    assert (changed.status_code, changed.headers["ETag"] == tag) == (200, False)


def test_a_mixed_picture_that_was_kept_goes_with_its_photograph(client, store, painted, image_id) -> None:
    url = f"/v1/jobs/{painted}/result?format=jpeg&strength=0.5"
    assert client.get(url).status_code == 200
    store.delete(image_key(image_id))
    assert (client.get(url).status_code, client.get(url).json["code"]) == (410, "result_expired")


def test_the_sheet_of_a_matrix_is_drawn_once_until_a_cell_changes(client, context, matrix_id, encodings) -> None:
    url = f"/v1/batches/{matrix_id}/sheet.webp"
    first = client.get(url)
    assert (first.status_code, len(encodings) > 0) == (200, True)
    encodings.clear()
    assert client.get(url).data == first.data
    assert client.get(url, headers={"If-None-Match": first.headers["ETag"]}).status_code == 304
    assert encodings == []
    run([client.get(f"/v1/batches/{matrix_id}/items").json["jobs"][1]["id"]], context)
    changed = client.get(url, headers={"If-None-Match": first.headers["ETag"]})
    assert (changed.status_code, changed.data == first.data) == (200, False)


def test_an_upload_is_made_small_once_for_the_pages(app, key, image_id, encodings) -> None:
    browser = signed_in(app, key)
    url = f"/dashboard/images/{image_id}"
    first, second = browser.get(url), browser.get(url)
    assert (first.status_code, second.data, encodings) == (200, first.data, ["thumbnail_jpeg"])
    again = browser.get(url, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, encodings) == (304, ["thumbnail_jpeg"])
