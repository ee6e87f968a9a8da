"""How strongly a painting shows: in one result, and saved with the job for all that show it."""

import io
import json
import math
import zipfile

import numpy as np
import pytest
from PIL import Image

from api.app import create_app
from shared.clock import now
from shared.db.models import Image as ImageRow
from shared.db.models import Job
from shared.imaging import codec
from shared.states import Role
from shared.storage.store import image_key, open_store
from tests.integration.api.batch_requests import steer
from tests.support.factories import add_key, picture
from tests.support.fakes import NegativePainter
from tests.support.flask_clients import client_with
from worker.jobs.runner import run

ENDED = 409, "not_finished"
GONE = 410, "result_expired"


@pytest.fixture
def painter() -> NegativePainter:
    return NegativePainter()


@pytest.fixture
def painted(context, job_id) -> str:
    """A job whose picture is the negative of its photograph."""
    run([job_id], context)
    return job_id


def distance(one: bytes, other: np.ndarray) -> float:
    """The mean difference of two pictures, in levels of 0 to 255."""
    return float(np.abs(rgb_of(one) - other).mean())


def rgb_of(data: bytes) -> np.ndarray:
    return codec.decode(data, max_px=10**6).rgb * 255


def result(client, job_id: str, **query):
    return client.get(f"/v1/jobs/{job_id}/result", query_string=query)


def save(client, job_id: str, strength):
    return client.put(f"/v1/jobs/{job_id}/strength", json={"strength": strength})


def told(answer) -> tuple[int, str]:
    return answer.status_code, answer.json["code"]


def painted_from(client, context, data: bytes, **request) -> str:
    image_id = client.post("/v1/images", data=data, content_type="image/png").json["id"]
    body = {"content": image_id, "style": image_id, "params": {"size": 32, "steps": 2}, **request}
    job_id = client.post("/v1/jobs", json=body).json["id"]
    run([job_id], context)
    return job_id


def lose_photograph(client, settings, job_id: str) -> None:
    open_store(settings.storage_url).delete(image_key(client.get(f"/v1/jobs/{job_id}").json["content"]))


# -- named in the query


def test_all_of_the_painting_is_the_stored_file_and_none_the_photograph(client, store, database, painted) -> None:
    with database.reading() as session:
        stored = store.get(session.get(Job, painted).result["key"])
    as_painted, half, photograph = (result(client, painted, strength=strength).data for strength in ("1", "0.5", "0"))
    assert as_painted == result(client, painted).data == stored
    assert np.abs(rgb_of(photograph) - picture() * 255).max() <= 2
    for other in (as_painted, photograph):
        assert np.abs(rgb_of(half) - rgb_of(other)).max() > 5


@pytest.mark.parametrize("wrong", ["-0.1", "1.1", "nan", "inf", "much", ""])
def test_a_strength_out_of_bounds_is_refused_with_them(client, painted, wrong) -> None:
    for path in ("result", "preview"):
        answer = client.get(f"/v1/jobs/{painted}/{path}?strength={wrong}")
        assert told(answer) == (422, "invalid_params")
        expected = {"pointer": "strength", "detail": "a number from 0 to 1", "ge": 0, "le": 1}
        assert answer.json["errors"] == [expected]


def test_every_strength_has_a_tag_of_its_own_and_can_be_resumed(client, painted) -> None:
    strengths = (None, "0", "0.5", "0.51")
    answers = [result(client, painted, **({} if each is None else {"strength": each})) for each in strengths]
    tags = [answer.headers["ETag"] for answer in answers]
    assert len(set(tags)) == len(strengths)
    assert {answer.headers["Cache-Control"] for answer in answers} == {
        "private, no-cache"
    }  # the saved strength may change
    assert result(client, painted, strength="1").headers["ETag"] == tags[0]
    assert result(client, painted, strength="0.5", format="jpeg").headers["ETag"] not in tags
    url = f"/v1/jobs/{painted}/result?strength=0.5"
    assert client.get(url, headers={"If-None-Match": tags[2]}).status_code == 304
    assert client.get(url, headers={"If-None-Match": tags[0]}).status_code == 200
    part = client.get(url, headers={"Range": "bytes=10-19", "If-Range": tags[2]})
    assert (part.status_code, part.data) == (206, answers[2].data[10:20])


@pytest.mark.parametrize("name", ["png", "jpeg", "webp"])
def test_it_goes_with_every_format(client, painted, name) -> None:
    answer = result(client, painted, strength="0", format=name)
    assert Image.open(io.BytesIO(answer.data)).format == name.upper()
    assert distance(answer.data, picture() * 255) < distance(answer.data, 255 - picture() * 255) / 4


def test_a_preview_is_mixed_too(client, painted) -> None:
    as_painted, photograph = (client.get(f"/v1/jobs/{painted}/preview?strength={n}").data for n in (1, 0))
    assert client.get(f"/v1/jobs/{painted}/preview").data == as_painted
    assert distance(photograph, picture() * 255) < distance(as_painted, picture() * 255) / 4


def test_the_opacity_is_kept_at_every_strength(client, context) -> None:
    alpha = np.ones((16, 24), np.float32)
    alpha[:, :12] = 0
    job_id = painted_from(client, context, codec.encode(np.full((16, 24, 3), 0.25, np.float32), alpha, format="png"))
    for strength in (0, 0.5):
        found = codec.decode(result(client, job_id, strength=strength).data, max_px=10**6).alpha
        assert np.array_equal(found[0], [0] * 12 + [1] * 12)
    assert rgb_of(result(client, job_id, strength=0.5, format="jpeg").data)[:, :10].min() > 245


@pytest.mark.parametrize(
    ("image", "options"),
    [
        (Image.fromarray((picture(57, 33) * 255).astype(np.uint8)), {}),
        (Image.fromarray(np.linspace(0, 65535, 57 * 33).reshape(33, 57).astype(np.uint16)), {}),
        (Image.fromarray((picture(57, 33) * 255).astype(np.uint8)).quantize(8), {}),
        (Image.fromarray((picture(33, 57) * 255).astype(np.uint8)), {"exif": 6}),
    ],
    ids=["odd size", "16-bit grey", "palette", "turned"],
)
def test_the_photograph_is_decoded_as_it_was_for_painting(client, context, image, options) -> None:
    if "exif" in options:
        exif = Image.Exif()
        exif[0x0112] = options["exif"]
        options = {"exif": exif}
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    job_id = painted_from(client, context, buffer.getvalue(), params={"size": 57, "steps": 2})
    found = rgb_of(result(client, job_id, strength=0).data)
    assert found.shape == (33, 57, 3)
    assert np.abs(found - rgb_of(buffer.getvalue())).max() <= 2


def test_the_photograph_is_resized_to_the_result(client, context) -> None:
    job_id = painted_from(client, context, codec.encode(np.full((90, 121, 3), 0.75, np.float32), format="png"))
    with context.database.reading() as session:
        key = session.get(Job, job_id).result["key"]
    context.store.put(key, codec.encode(picture(32, 23), format="png"))
    found = rgb_of(result(client, job_id, strength=0).data)
    assert found.shape == (23, 32, 3)
    assert np.abs(found - 191).max() <= 2


# -- saved with the job


def test_a_saved_strength_is_shown_and_used_where_none_is_named(client, painted) -> None:
    as_painted = result(client, painted)
    assert client.get(f"/v1/jobs/{painted}").json["result"]["strength"] == 1
    url = client.get(f"/v1/jobs/{painted}").json["links"]["strength"]
    before = client.get(f"/v1/jobs/{painted}").headers["ETag"]
    answer = client.put(url, json={"strength": 0.25})
    assert (answer.status_code, answer.json["result"]["strength"]) == (200, 0.25)
    assert client.get(f"/v1/jobs/{painted}", headers={"If-None-Match": before}).json == answer.json
    assert result(client, painted).data == result(client, painted, strength=0.25).data != as_painted.data
    assert client.get(f"/v1/jobs/{painted}/result", headers={"If-None-Match": as_painted.headers["ETag"]}).data
    preview = client.get(f"/v1/jobs/{painted}/preview")
    assert preview.data == client.get(f"/v1/jobs/{painted}/preview?strength=0.25").data
    assert result(client, painted, strength=1).data == as_painted.data
    assert save(client, painted, 1).json["result"]["strength"] == 1
    assert result(client, painted).headers["ETag"] == as_painted.headers["ETag"]


@pytest.mark.parametrize(
    "body", [{"strength": -0.1}, {"strength": 1.1}, {"strength": "much"}, {"strength": None}, {}, {"strengh": 1}]
)
def test_only_a_strength_within_bounds_is_saved(client, painted, body) -> None:
    assert told(client.put(f"/v1/jobs/{painted}/strength", json=body)) == (422, "invalid_params")
    assert client.put(f"/v1/jobs/{painted}/strength", data="nan").status_code == 415
    assert client.get(f"/v1/jobs/{painted}").json["result"]["strength"] == 1
    assert told(save(client, painted, math.nan)) == (400, "invalid_request")


@pytest.mark.parametrize(("given", "kept"), [(-0.0, "0.0"), (0.123, "0.12"), (1e-9, "0.0"), (0.9999, "1.0")])
def test_a_strength_is_kept_in_hundredths(client, painted, given, kept) -> None:
    assert str(save(client, painted, given).json["result"]["strength"]) == kept


def test_a_change_is_audited_once(client, painted) -> None:
    for strength in (0.5, 0.5, 0.25):
        save(client, painted, strength)
    entries = client.get("/v1/audit?action=job.strength").json["entries"]
    assert [(entry["subject"], entry["details"]) for entry in entries] == [
        (painted, {"strength": 0.25}),
        (painted, {"strength": 0.5}),
    ]


def test_a_job_without_a_picture_has_no_strength(client, job_id) -> None:
    assert told(save(client, job_id, 0.5)) == ENDED
    assert "strength" not in client.get(f"/v1/jobs/{job_id}").json["links"]
    client.post(f"/v1/jobs/{job_id}/cancel")
    assert told(save(client, job_id, 0.5)) == (409, "no_result")


def test_only_those_who_may_change_a_job_save_its_strength(app, client, database, painted) -> None:
    stranger, viewer, owner = (
        client_with(app, add_key(database, role, owner))
        for role, owner in ((Role.CLIENT, "stranger"), (Role.VIEWER, "boss"), (Role.CLIENT, "local"))
    )
    assert told(save(stranger, painted, 0.5)) == told(result(stranger, painted, strength=0)) == (404, "not_found")
    assert told(save(viewer, painted, 0.5)) == (403, "forbidden")
    assert result(viewer, painted, strength=0).status_code == 200
    assert save(owner, painted, 0.5).status_code == 200


def test_a_job_that_reuses_a_picture_shows_it_as_painted(client, context, painted) -> None:
    save(client, painted, 0.25)
    shown = client.get(f"/v1/jobs/{painted}").json
    body = {"content": shown["content"], "style": shown["content"], "params": {"size": 32, "steps": 8}, "reuse": True}
    again = client.post("/v1/jobs", json=body).json["id"]
    run([again], context)
    found = client.get(f"/v1/jobs/{again}").json
    assert (found["reused_from"], found["result"]["strength"]) == (painted, 1)
    assert result(client, again).data == result(client, painted, strength=1).data


def test_the_zip_of_a_batch_has_the_saved_strength(client, context, settings, batch) -> None:
    for seed, name in enumerate(("a.png", "b.png", "c.png")):
        data = codec.encode(picture(seed=seed), format="png")
        content = client.post("/v1/images", data=data, content_type="image/png").json["id"]
        client.post(f"/v1/batches/{batch['id']}/items", json=[{"key": name, "content": content}])
    steer(client, batch, "start")
    made = {job["key"]: job["id"] for job in client.get(f"/v1/batches/{batch['id']}/items").json["jobs"]}
    for job_id in made.values():
        run([job_id], context)
    save(client, made["b.png"], 0.25)
    save(client, made["c.png"], 0.25)
    lose_photograph(client, settings, made["c.png"])
    with zipfile.ZipFile(io.BytesIO(client.get(f"/v1/batches/{batch['id']}/archive.zip").data)) as archive:
        lines = [json.loads(line) for line in archive.read("manifest.jsonl").splitlines()]
        files = {line["key"]: (archive.read(line["file"]), line["result"]["strength"]) for line in lines}
    assert files["a.png"] == (result(client, made["a.png"]).data, 1)
    assert files["b.png"] == (result(client, made["b.png"], strength=0.25).data, 0.25)
    assert files["c.png"] == (result(client, made["c.png"], strength=1).data, 1)
    assert files["b.png"][0] != result(client, made["b.png"], strength=1).data


def test_the_sheet_of_a_matrix_has_the_saved_strength(client, context, image_id) -> None:
    matrix = {"contents": [image_id], "styles": [image_id]}
    made = client.post("/v1/batches", json={"matrix": matrix, "preset": "fast", "params": {"size": 32}}).json["id"]
    (item,) = client.get(f"/v1/batches/{made}/items").json["jobs"]
    run([item["id"]], context)

    def cell_differs_by() -> float:
        """The mean difference of the one cell from the photograph beside it, in levels of 0 to 255."""
        with Image.open(io.BytesIO(client.get(f"/v1/batches/{made}/sheet.webp").data)) as sheet:
            photograph, cell = (
                np.asarray(sheet.convert("RGB").crop((left, 320, left + 224, 460)), np.float32) for left in (24, 256)
            )
        return float(np.abs(photograph - cell).mean())

    assert cell_differs_by() > 50
    save(client, item["id"], 0)
    assert cell_differs_by() < 5


@pytest.mark.parametrize("mode", ["P", "I;16", "CMYK", "LA"])
def test_the_sheet_of_a_matrix_shows_photographs_of_every_kind(client, image_id, mode) -> None:
    photograph = Image.fromarray(np.uint8(picture(48, 32) * 255)).convert("L" if mode == "I;16" else mode)
    if mode == "I;16":
        photograph = Image.fromarray(np.asarray(photograph, np.uint16) * 257)
    file = io.BytesIO()
    photograph.save(file, "TIFF")
    content = client.post("/v1/images", data=file.getvalue(), content_type="image/tiff").json["id"]
    matrix = {"contents": [content], "styles": [image_id]}
    made = client.post("/v1/batches", json={"matrix": matrix, "preset": "fast", "params": {"size": 32}}).json["id"]

    answer = client.get(f"/v1/batches/{made}/sheet.webp")

    assert answer.status_code == 200
    with Image.open(io.BytesIO(answer.data)) as sheet:
        assert np.asarray(sheet.convert("RGB").crop((24, 320, 248, 460)), np.float32).std() > 5


# -- without a photograph


def test_without_its_photograph_a_picture_can_only_be_had_as_painted(client, settings, painted) -> None:
    as_painted = result(client, painted).data
    save(client, painted, 0.5)
    lose_photograph(client, settings, painted)
    for answer in (result(client, painted), result(client, painted, strength=0)):
        assert told(answer) == GONE
        assert "strength 1" in answer.json["detail"]
    assert result(client, painted, strength=1).data == as_painted
    assert told(client.get(f"/v1/jobs/{painted}/preview?strength=0")) == GONE
    preview = client.get(f"/v1/jobs/{painted}/preview")
    assert preview.data == client.get(f"/v1/jobs/{painted}/preview?strength=1").data


@pytest.mark.parametrize("left", [0, 60])
def test_a_damaged_photograph_is_as_one_that_is_gone(client, context, settings, batch, image_id, left) -> None:
    client.post(f"/v1/batches/{batch['id']}/items", json=[{"key": "a.png", "content": image_id}])
    steer(client, batch, "start")
    (item,) = client.get(f"/v1/batches/{batch['id']}/items").json["jobs"]
    run([item["id"]], context)
    save(client, item["id"], 0.5)
    store = open_store(settings.storage_url)
    store.put(image_key(image_id), store.get(image_key(image_id))[:left])

    assert told(result(client, item["id"])) == GONE
    as_painted = result(client, item["id"], strength=1).data
    assert client.get(f"/v1/jobs/{item['id']}/preview").status_code == 200
    with zipfile.ZipFile(io.BytesIO(client.get(f"/v1/batches/{batch['id']}/archive.zip").data)) as archive:
        assert archive.read("a.png") == as_painted


def test_no_strength_is_saved_for_a_photograph_that_is_gone_but_the_painting_comes_back(
    client, database, painted
) -> None:
    save(client, painted, 0.5)
    with database.writing() as session:
        session.get(ImageRow, client.get(f"/v1/jobs/{painted}").json["content"]).gone_at = now()
    assert told(save(client, painted, 0.7)) == GONE
    assert save(client, painted, 1).json["result"]["strength"] == 1


def test_saving_a_strength_counts_as_a_use_of_the_photograph(client, database, painted) -> None:
    image_id = client.get(f"/v1/jobs/{painted}").json["content"]
    with database.writing() as session:
        row = session.get(ImageRow, image_id)
        row.last_used_at = long_ago = row.last_used_at.replace(year=2020)
    save(client, painted, 0.5)
    with database.reading() as session:
        assert session.get(ImageRow, image_id).last_used_at > long_ago


def test_expired_files_take_the_strength_with_them(client, database, painted) -> None:
    from shared.db.jobs import sweeps

    save(client, painted, 0.5)
    with database.writing() as session:
        session.get(Job, painted).expires_at = now().replace(year=2020)
    with database.writing() as session:
        assert sweeps.expire_files(session) == [painted]
    assert told(result(client, painted, strength=0.5)) == told(save(client, painted, 0.5)) == GONE
    shown = client.get(f"/v1/jobs/{painted}").json
    assert (shown["result"]["expired"], "strength" in shown["links"]) == (True, False)


def test_a_photograph_beyond_a_bound_that_was_lowered_is_refused(settings, database, key, painted) -> None:
    client = client_with(create_app(settings.model_copy(update={"max_upload_px": 100})), key)
    assert told(result(client, painted, strength=0.5)) == (413, "image_too_large")
    assert result(client, painted, strength=1).status_code == 200
