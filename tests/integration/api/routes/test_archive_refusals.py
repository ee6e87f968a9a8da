"""What is not taken of an archive or a folder is told with its reason, and nothing of it is lost in silence."""

import io
import json
import os

import pytest

from api.app import create_app
from shared.imaging import codec
from shared.storage.store import open_store
from tests.hostile.archives import tarred, zipped
from tests.integration.api.batch_requests import show
from tests.support import handed_cases
from tests.support.factories import picture
from tests.support.flask_clients import client_with

ZIP = "application/zip"


def png(seed: int = 0) -> bytes:
    return codec.encode(picture(seed=seed), format="png")


def send(client, batch, data: bytes, media_type: str = ZIP, **query: str):
    path = f"/v1/batches/{batch['id']}/items"
    return client.post(path, data=data, content_type=media_type, query_string=query)


def keys(client, batch) -> list[str]:
    return sorted(job["key"] for job in client.get(f"/v1/batches/{batch['id']}/items").json["jobs"])


@pytest.mark.parametrize(
    ("name", "media_type", "expected"),
    [
        ("powershell51.zip", ZIP, ["photos/sub/a.jpg"]),
        ("macos-finder.zip", ZIP, ["Urlaub/Häuser.jpg"]),
        ("dot.tgz", "application/gzip", ["a.jpg", "sub/b.jpg"]),
    ],
)
def test_a_handed_archive_is_taken(client, batch, name, media_type, expected) -> None:
    told = send(client, batch, handed_cases.read(name), media_type).json
    assert (told["added"], told["rejected"], keys(client, batch)) == (len(expected), 0, expected)


def test_names_are_read_by_the_encoding_that_the_request_names(client, batch) -> None:
    raw = "фото.png".encode("cp866").decode(errors="surrogateescape")
    data = tarred({raw: png()})
    assert send(client, batch, data, "application/x-tar", name_encoding="cp866").json["added"] == 1
    assert keys(client, batch) == ["фото.png"]
    refused = send(client, batch, data, "application/x-tar", name_encoding="rot13")
    assert (refused.status_code, refused.json["code"]) == (422, "invalid_params")
    assert refused.json["errors"][0]["pointer"] == "name_encoding"


def test_pictures_that_cannot_be_read_are_counted_by_kind(client, batch) -> None:
    files = {"a.png": png(), "b.CR2": b"raw", "c.cr2": b"raw", "d.psd": b"layers", "notes.txt": b""}
    told = send(client, batch, zipped(files)).json
    assert (told["added"], told["rejected"], told["skipped"]) == (1, 0, 1)
    assert told["unreadable"] == {"cr2": 2, "psd": 1}


def test_an_archive_of_which_nothing_is_taken_is_refused_with_the_reasons(client, batch) -> None:
    answer = send(client, batch, zipped({"a.png": b"none", "../b.png": png(), "c.cr2": b"raw", "d.txt": b""}))
    told = answer.json
    assert (answer.status_code, told["code"]) == (422, "nothing_added")
    assert [(error["key"], error["code"]) for error in told["errors"]] == [
        ("a.png", "unsupported_image"),
        ("../b.png", "unsafe_path"),
    ]
    assert (told["rejected"], told["skipped"], told["unreadable"]) == (2, 1, {"cr2": 1})
    assert "a.png" in told["detail"]
    assert "cr2 1" in told["detail"]
    assert show(client, batch)["counts"]["total"] == 0


def test_an_empty_archive_and_one_without_pictures_are_told_apart(client, batch) -> None:
    assert send(client, batch, zipped({})).json["detail"].endswith("there are no files.")
    assert "2 skipped" in send(client, batch, zipped({"a/": b"", "a/notes.txt": b""})).json["detail"]
    outside = send(client, batch, zipped({"/a.png": png()})).json
    assert "Use a relative path" in outside["errors"][0]["detail"]
    assert "Value error" not in outside["detail"]


@pytest.mark.parametrize(("start", "name"), [(b"7z\xbc\xaf\x27\x1c", "7z"), (b"Rar!\x1a\x07", "RAR")])
@pytest.mark.parametrize("media_type", [ZIP, "application/x-tar"])
def test_an_archive_of_another_kind_is_refused_by_name(client, batch, media_type, start, name) -> None:
    answer = send(client, batch, start + bytes(1000), media_type)
    assert (answer.status_code, answer.json["code"]) == (422, "corrupt_archive")
    assert f"{name} archives" in answer.json["detail"]


def test_an_archive_is_a_zip_or_a_tar_by_its_bytes(client, batch) -> None:
    for data, media_type in (
        (zipped({"a.png": png()}), "application/x-tar"),
        (tarred({"b.png": png()}), ZIP),
        (tarred({"c.png": png()}, mode="w:xz"), ZIP),
        (b"MZ" + bytes(3000) + zipped({"d.png": png()}), ZIP),  # one that unpacks itself
    ):
        assert send(client, batch, data, media_type).json["added"] == 1, media_type
    assert keys(client, batch) == ["a.png", "b.png", "c.png", "d.png"]


def test_an_archive_that_is_sent_again_has_something(client, batch) -> None:
    data = zipped({"a.png": png()})
    assert send(client, batch, data).json["added"] == 1
    assert send(client, batch, data).json["existing"] == 1


@pytest.mark.parametrize("data", [zipped({"a.png": b"none"}), zipped({}), b"PK no zip"])
def test_no_batch_is_opened_for_an_archive_of_which_nothing_is_taken(client, data) -> None:
    def open_batch():
        form = {"archive": (io.BytesIO(data), "a.zip"), "style": (io.BytesIO(png()), "s.png"), "request": "{}"}
        return client.post("/v1/batches", data=form, headers={"Idempotency-Key": "once"})

    first, again = open_batch(), open_batch()
    assert first.status_code == again.status_code == 422
    assert first.json["code"] == again.json["code"] != "invalid_params"
    assert client.get("/v1/batches").json["batches"] == []


def test_a_batch_is_opened_by_an_archive_in_the_encoding_of_the_query(client) -> None:
    raw = "фото.png".encode("cp866").decode(errors="surrogateescape")
    form = {
        "archive": (io.BytesIO(tarred({raw: png()})), "a.tar"),
        "style": (io.BytesIO(png()), "s.png"),
        "request": json.dumps({"params": {"size": 64}}),
    }
    made = client.post("/v1/batches?name_encoding=cp866", data=form)
    assert (made.status_code, keys(client, made.json)) == (201, ["фото.png"])


# -- folders on the server


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "allowed"
    root.mkdir()
    return root


@pytest.fixture
def importing(settings, key, folder):
    return client_with(create_app(settings.model_copy(update={"import_roots": str(folder)})), key)


def take(client, batch, source: str):
    return client.post(f"/v1/batches/{batch['id']}/items", json={"source": source})


def test_a_folder_of_oddities_gives_its_pictures_and_tells_the_rest(importing, batch, folder) -> None:
    for name in (b"a.png", b"\xe4.png", b"tab\there.png", b"trailing \xc3\xbc.png", b"a\\b.png"):
        (folder / os.fsdecode(name)).write_bytes(png())
    for hidden in (".hidden", "@eaDir", ".thumbnails", "__MACOSX"):
        (folder / hidden).mkdir()
        (folder / hidden / "x.png").write_bytes(png())
    (folder / "Holiday ").mkdir()
    (folder / "Holiday " / "b.jpg").write_bytes(png())
    (folder / "painted").mkdir()
    (folder / "painted" / ".atelier-batch.json").write_text("{}")
    (folder / "painted" / "a.png").write_bytes(png())
    for name in ("c.cr2", "d.heic.xmp", "._a.png", "Thumbs.db"):
        (folder / name).write_bytes(b"x")
    os.mkfifo(folder / "pipe.png")
    (folder / "dangling.png").symlink_to(folder / "gone.png")
    (folder / "folder.png").mkdir()
    told = take(importing, batch, folder.as_uri()).json
    assert keys(importing, batch) == [
        "%E4.png",
        "Holiday%20/b.jpg",
        "a%5Cb.png",
        "a.png",
        "tab%09here.png",
        "trailing ü.png",
    ]
    assert {(error["key"], error["code"]) for error in told["errors"]} == {
        ("pipe.png", "unsafe_path"),
        ("dangling.png", "forbidden_source"),
    }
    assert (told["unreadable"], told["skipped"]) == ({"cr2": 1}, 3)


def test_a_folder_of_results_is_imported_where_it_is_named_itself(importing, batch, folder) -> None:
    (folder / ".atelier-batch.json").write_text("{}")
    (folder / "a.png").write_bytes(png())
    assert take(importing, batch, folder.as_uri()).json["added"] == 1


def test_a_folder_without_pictures_is_refused(importing, batch, folder) -> None:
    (folder / "a.nef").write_bytes(b"raw")
    answer = take(importing, batch, folder.as_uri())
    assert (answer.status_code, answer.json["code"], answer.json["unreadable"]) == (422, "nothing_added", {"nef": 1})


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_read_is_told(importing, batch, folder) -> None:
    (folder / "a.png").write_bytes(png())
    (folder / "locked").mkdir(mode=0)
    told = take(importing, batch, folder.as_uri()).json
    assert [(error["key"], error["code"]) for error in told["errors"]] == [("locked", "forbidden_source")]


@pytest.mark.parametrize("end", ["/%00", "%00", "/a%00b", f"/{'x' * 300}", "/%ff", "/\ud800"])
def test_an_address_of_no_folder_is_refused(importing, batch, folder, end) -> None:
    answer = importing.post(
        f"/v1/batches/{batch['id']}/items",
        data=json.dumps({"source": folder.as_uri() + end}),
        content_type="application/json",
    )
    assert 400 <= answer.status_code <= 422, answer.json


def test_an_address_that_is_none_is_refused(importing, batch) -> None:
    assert take(importing, batch, "file://[bad/").json["code"] == "forbidden_source"


def test_files_in_our_storage_are_imported_under_their_own_names(client, batch, settings) -> None:
    store = open_store(settings.storage_url)
    for name in ("IMG 0001.JPG", "Häuser/a.png", "b.cr2", ".DS_Store"):
        store.put(f"imports/Sommer 2030/{name}", png())
    told = take(client, batch, "storage:imports/Sommer 2030").json
    assert keys(client, batch) == ["Häuser/a.png", "IMG 0001.JPG"]
    assert (told["unreadable"], told["skipped"]) == ({"cr2": 1}, 1)
    for source in ("storage:imports/../images", "storage:imports/./x", "storage:imports/.tmp-x", "storage:imports//x"):
        assert take(client, batch, source).json["code"] == "forbidden_source"


def test_folders_with_the_results_of_a_batch_are_left_out_of_our_storage_and_of_a_tar(client, batch, settings) -> None:
    files = {"done/.atelier-batch.json": b"{}", "a.png": png(), "done/a.png": png(1), "done/- first.png": png(2)}
    store = open_store(settings.storage_url)
    for name, data in files.items():
        store.put(f"imports/{name}", data)
    assert take(client, batch, "storage:imports").json["added"] == 1
    assert send(client, batch, tarred(files), "application/x-tar").json["existing"] == 1
    assert keys(client, batch) == ["a.png"]
