"""Archives of pictures into a batch, and its results as one zip out of it."""

import io
import json
import zipfile

import pytest

from api.app import create_app
from shared.imaging import codec
from shared.storage.store import open_store
from tests.hostile.archives import tarred, zipped
from tests.integration.api.batch_requests import show, steer
from tests.support.factories import picture
from tests.support.flask_clients import client_with
from tests.support.job_runs import load
from worker.jobs.runner import run

ZIP = "application/zip"


def png(seed: int) -> bytes:
    return codec.encode(picture(seed=seed), format="png")


def send(client, batch, data: bytes, media_type: str = ZIP):
    return client.post(f"/v1/batches/{batch['id']}/items", data=data, content_type=media_type)


@pytest.mark.parametrize(("make", "media_type"), [(zipped, ZIP), (tarred, "application/x-tar")])
def test_good_pictures_are_items_and_bad_ones_are_told(client, batch, make, media_type) -> None:
    files = {f"sub/{seed}.png": png(seed) for seed in range(3)}
    answer = send(client, batch, make(files | {"../x.png": png(4), "bad.png": b"none", ".DS_Store": b""}), media_type)
    told = answer.json
    assert (answer.status_code, told["added"], told["rejected"], told["skipped"]) == (200, 3, 2, 1)
    assert {(error["key"], error["code"]) for error in told["errors"]} == {
        ("../x.png", "unsafe_path"),
        ("bad.png", "unsupported_image"),
    }
    assert send(client, batch, make(files), media_type).json["existing"] == 3
    keys = [job["key"] for job in client.get(f"/v1/batches/{batch['id']}/items").json["jobs"]]
    assert sorted(keys) == sorted(files)


def test_what_came_before_the_break_stays_and_is_told(client, batch) -> None:
    whole = tarred({f"{seed}.png": png(seed) for seed in range(3)})
    answer = send(client, batch, whole[: len(whole) // 3], "application/x-tar")
    assert (answer.status_code, answer.json["code"]) == (422, "corrupt_archive")
    assert answer.json["added"] == show(client, batch)["counts"]["total"] > 0


def test_an_archive_beyond_the_bound_is_refused(settings, key, client, batch) -> None:
    narrow = client_with_bound(settings, key, 4_000)
    answer = send(narrow, batch, zipped({f"{seed}.png": png(seed) for seed in range(60)}))
    assert (answer.status_code, answer.json["code"]) == (413, "archive_too_large")
    assert show(client, batch)["counts"]["total"] == 0


def client_with_bound(settings, key, most: int):
    return client_with(create_app(settings.model_copy(update={"max_batch_bytes": most})), key)


def test_the_results_come_as_one_zip_with_a_manifest(client, batch, paint) -> None:
    send(client, batch, zipped({"a.png": png(1), "a.jpg": png(2), "sub/b.png": png(3)}))
    steer(client, batch, "start")
    made = {job["key"]: job["id"] for job in client.get(f"/v1/batches/{batch['id']}/items").json["jobs"]}
    for name in ("a.png", "a.jpg"):
        paint(made[name])
    client.post(f"/v1/jobs/{made['sub/b.png']}/cancel")
    answer = client.get(f"/v1/batches/{batch['id']}/archive.zip")
    with zipfile.ZipFile(io.BytesIO(answer.data)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["a.png", "a.jpg.png", "manifest.jsonl"]
        lines = [json.loads(line) for line in archive.read("manifest.jsonl").splitlines()]
        files = {line["key"]: line["file"] for line in lines}
        assert files["sub/b.png"] is None
        for name in ("a.png", "a.jpg"):
            result = client.get(f"/v1/jobs/{made[name]}/result").data
            assert archive.read(files[name]) == result
    assert answer.headers["Content-Type"] == ZIP


@pytest.fixture
def paint(context):
    """Paints one job, in the app's own storage."""

    def paint(job_id: str) -> None:
        run([job_id], context)
        assert load(context, job_id).state == "succeeded"

    return paint


def test_one_call_opens_fills_and_starts(client) -> None:
    form = {
        "archive": (io.BytesIO(zipped({"a.png": png(1), "bad.png": b"none"})), "pictures.zip"),
        "style": (io.BytesIO(png(9)), "style.png"),
        "request": json.dumps({"preset": "fast", "params": {"size": 64}}),
    }
    answer = client.post("/v1/batches", data=form)
    assert (answer.status_code, answer.json["state"], answer.json["counts"]["queued"]) == (201, "running", 1)
    assert [error["code"] for error in answer.json["added"]["errors"]] == ["unsupported_image"]


@pytest.fixture
def folder(tmp_path):
    """An allowed folder with pictures, a link that leads outside, and one beside it."""
    root = tmp_path / "allowed"
    (root / "sub").mkdir(parents=True)
    (tmp_path / "secret.png").write_bytes(png(7))
    (root / "a.png").write_bytes(png(1))
    (root / "sub" / "b.png").write_bytes(png(2))
    (root / "notes.txt").write_text("no picture")
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    return root


@pytest.fixture
def importing(settings, key, folder):
    return client_with(create_app(settings.model_copy(update={"import_roots": str(folder)})), key)


def test_a_folder_that_is_allowed_is_imported_and_links_out_of_it_are_not(importing, batch, folder) -> None:
    path = f"/v1/batches/{batch['id']}/items"
    told = importing.post(path, json={"source": folder.as_uri()}).json
    assert (told["added"], told["skipped"]) == (2, 1)
    assert [(error["key"], error["code"]) for error in told["errors"]] == [("link.png", "unsafe_path")]
    keys = [job["key"] for job in importing.get(path).json["jobs"]]
    assert sorted(keys) == ["a.png", "sub/b.png"]
    assert importing.post(path, json={"source": folder.as_uri()}).json["existing"] == 2


@pytest.mark.parametrize("source", ["file:///", "file:///etc", "PARENT", "PARENT/allowed/../", "http://x/",
                                    "storage:images/", "storage:../", "storage:imports/../jobs/", "/etc",
                                    ""])  # fmt: skip
def test_any_other_place_is_refused(importing, batch, folder, source) -> None:
    source = source.replace("PARENT", folder.parent.as_uri())
    answer = importing.post(f"/v1/batches/{batch['id']}/items", json={"source": source})
    assert (answer.status_code, answer.json["code"]) == (422, "forbidden_source")


def test_no_folder_is_allowed_by_default(client, batch, folder) -> None:
    answer = client.post(f"/v1/batches/{batch['id']}/items", json={"source": folder.as_uri()})
    assert answer.json["code"] == "forbidden_source"


def test_pictures_in_our_storage_are_imported(client, batch, settings) -> None:
    store = open_store(settings.storage_url)
    store.put("imports/harbours/a.png", png(1))
    store.put("imports/other/b.png", png(2))
    told = client.post(f"/v1/batches/{batch['id']}/items", json={"source": "storage:imports/harbours/"}).json
    assert (told["added"], told["errors"]) == (1, [])
