"""Downloads by other people's tools: parts of files and of archives, resumed to the same bytes."""

import io
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from api.batches import archive_writer
from api.batches.archive_writer import Measured
from shared.db.batches import counts, lifecycle
from shared.errors import StorageUnavailable
from tests.integration.api.batch_requests import add, steer
from tests.support.api_server import serving
from worker.jobs.runner import run


@pytest.fixture
def painted(context, job_id) -> str:
    run([job_id], context)
    return job_id


@pytest.fixture
def finished(client, context, image_id) -> str:
    """A batch of two, painted and counted."""
    batch = client.post("/v1/batches", json={"style": image_id, "params": {"size": 32, "steps": 4}}).json
    add(client, batch, *({"key": f"{name}.png", "content": image_id} for name in "ab"))
    steer(client, batch, "start")
    for job in client.get(f"/v1/batches/{batch['id']}/items").json["jobs"]:
        run([job["id"]], context)
    with context.database.writing() as session:
        counts.fold(session)
        lifecycle.end_completed(session)
    return batch["id"]


@pytest.fixture(params=["image", "result", "archive"])
def url(request, image_id) -> str:
    """A file of each kind."""
    if request.param == "image":
        return f"/v1/images/{image_id}/content"
    if request.param == "result":
        return f"/v1/jobs/{request.getfixturevalue('painted')}/result"
    return f"/v1/batches/{request.getfixturevalue('finished')}/archive.zip"


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [("bytes=10-19", 10, 20), ("bytes=10-", 10, None), ("Bytes=-7", -7, None), ("bytes=0-999999999", 0, None)],
)
def test_one_range_of_any_file_is_sent(client, url, asked, start, stop) -> None:
    whole = client.get(url)
    part = client.get(url, headers={"Range": asked})
    wanted = whole.data[start:stop]
    first = start % len(whole.data)
    assert (part.status_code, part.data) == (206, wanted)
    assert part.headers["Content-Range"] == f"bytes {first}-{first + len(wanted) - 1}/{len(whole.data)}"
    assert (part.headers["ETag"], part.content_length) == (whole.headers["ETag"], len(wanted))
    assert (whole.headers["Accept-Ranges"], whole.content_length) == ("bytes", len(whole.data))


@pytest.mark.parametrize("asked", ["bytes=0-1,3-4", "bytes=5-2", "bytes=-", "bytes=a-b", "items=0-1", "bytes 0-1", "٣"])
def test_any_other_range_gets_the_whole_file(client, url, asked) -> None:
    answer = client.get(url, headers={"Range": asked})
    assert (answer.status_code, answer.data) == (200, client.get(url).data)


@pytest.mark.parametrize("beyond", ["bytes={}-", "bytes={}-{}", "bytes=-0"])
def test_a_range_beyond_the_file_tells_its_length(client, url, beyond) -> None:
    length = client.get(url).content_length
    answer = client.get(url, headers={"Range": beyond.format(length, length + 5)})
    assert (answer.status_code, answer.json["code"]) == (416, "range_not_satisfiable")
    assert answer.headers["Content-Range"] == f"bytes */{length}"


def test_a_part_of_another_version_is_the_whole_file(client, url) -> None:
    whole = client.get(url)
    etag = whole.headers["ETag"]
    for current, status in ((etag, 206), ('"other"', 200), (f"W/{etag}", 200), ("Mon, 01 Jan 2035 00:00:00 GMT", 200)):
        assert client.get(url, headers={"Range": "bytes=1-", "If-Range": current}).status_code == status


def test_a_known_version_is_not_sent_again_and_its_headers_are_the_same(client, url) -> None:
    whole = client.get(url)
    known = client.get(url, headers={"If-None-Match": whole.headers["ETag"], "Range": "bytes=1-2"})
    assert (known.status_code, known.data) == (304, b"")
    for name in ("ETag", "Cache-Control", "Vary"):
        assert known.headers.get(name) == whole.headers.get(name)


def test_a_head_is_that_of_the_whole_file(client, url) -> None:
    whole, head = client.get(url), client.head(url, headers={"Range": "bytes=1-2"})
    assert (head.status_code, head.data) == (200, b"")
    for name in ("Content-Length", "Content-Type", "ETag", "Accept-Ranges", "Content-Disposition"):
        assert head.headers[name] == whole.headers[name]


def test_an_archive_is_the_same_each_time_and_whole(client, finished) -> None:
    first, again = (client.get(f"/v1/batches/{finished}/archive.zip") for _ in range(2))
    assert first.data == again.data
    with zipfile.ZipFile(io.BytesIO(first.data)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["a.png", "b.png", "manifest.jsonl"]


def test_an_archive_whose_length_is_unknown_cannot_be_resumed(client, finished) -> None:
    [item, _] = client.get(f"/v1/batches/{finished}/items").json["jobs"]
    client.put(f"/v1/jobs/{item['id']}/strength", json={"strength": 0.5})
    answer = client.get(f"/v1/batches/{finished}/archive.zip", headers={"Range": "bytes=1-2"})
    assert (answer.status_code, answer.headers["Accept-Ranges"]) == (200, "none")
    assert "ETag" not in answer.headers
    assert zipfile.ZipFile(io.BytesIO(answer.data)).testzip() is None


def test_an_archive_that_changes_while_it_is_sent_breaks_off(app, finished) -> None:
    found = app.extensions["atelier"]
    other = Measured(1000, "of other pictures")
    with pytest.raises(StorageUnavailable, match="changed while"):
        list(archive_writer.stream(found.database, found.pictures, finished, other))


def test_curl_and_wget_resume_what_broke_off_to_the_same_bytes(
    settings, key, client, image_id, painted, finished, tmp_path
) -> None:
    paths = (f"/v1/images/{image_id}/content", f"/v1/jobs/{painted}/result", f"/v1/batches/{finished}/archive.zip")
    with serving(settings, key) as served:
        for path in paths:
            whole = client.get(path).data
            for tool, resume in (("curl", ["-fsSC", "-", "-o"]), ("wget", ["-qcO"])):
                assert resumed(tool, resume, served.url + path, key, whole, tmp_path) == whole


def resumed(tool: str, options: list[str], url: str, key: str, whole: bytes, folder: Path) -> bytes:
    """Continue a file of which half is there; return what is in it then."""
    if shutil.which(tool) is None:
        pytest.skip(f"There is no {tool}.")
    file = folder / "file"
    file.write_bytes(whole[: len(whole) // 2])
    header = {"curl": "-H", "wget": "--header"}[tool]
    subprocess.run([tool, *options, str(file), header, f"Authorization: Bearer {key}", url], check=True, timeout=60)
    return file.read_bytes()
