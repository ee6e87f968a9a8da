"""What a job gives: events, previews, losses, the picture, its manifest."""

import json
import threading
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from api.app import create_app
from api.client.sse import parse
from shared.imaging import codec
from shared.messaging.progress import RedisProgress
from tests.support.claims import claim, step
from tests.support.factories import add_key
from tests.support.flask_clients import client_with
from tests.support.waiting import wait_until
from worker.jobs.runner import run


@pytest.fixture
def painted(context, job_id) -> str:
    run([job_id], context)
    return job_id


def read_events(response) -> list:
    return list(parse(response.data.decode().split("\n")))


def test_a_painted_job_is_followed_from_the_first_step_to_the_end(client, painted) -> None:
    events = read_events(client.get(f"/v1/jobs/{painted}/events"))
    names = [event.name for event in events]
    assert names[0] == "state"
    assert names[-1] == "end"
    steps = [event.data["step"] for event in events if event.name == "step"]
    assert steps == list(range(1, len(steps) + 1))
    assert events[-1].data == {"state": "succeeded"}


@pytest.mark.parametrize("way", ["header", "query"])
def test_a_follower_resumes_where_it_was(client, painted, way) -> None:
    events = read_events(client.get(f"/v1/jobs/{painted}/events"))
    third = next(event for event in events if event.name == "step" and event.data["step"] == 3)
    url = f"/v1/jobs/{painted}/events"
    if way == "header":
        rest = read_events(client.get(url, headers={"Last-Event-ID": third.id}))
    else:
        rest = read_events(client.get(f"{url}?last_event_id={third.id}"))
    assert next(event.data["step"] for event in rest if event.name == "step") == 4


def test_a_nonsense_place_to_resume_starts_from_the_beginning(client, painted) -> None:
    events = read_events(client.get(f"/v1/jobs/{painted}/events", headers={"Last-Event-ID": "'; DROP"}))
    assert any(event.name == "step" and event.data["step"] == 1 for event in events)


def test_following_an_ended_job_without_history_ends_at_once(client, painted, redis) -> None:
    redis.flushall()
    assert [event.name for event in read_events(client.get(f"/v1/jobs/{painted}/events"))] == ["end"]


def test_following_works_from_the_database_while_redis_is_away(client, database, job_id) -> None:
    from shared.db.jobs import claims, transitions

    held = claim(database, job_id)
    with database.writing() as session:
        claims.renew(session, held, lease_s=20, progress=step(3))
    response = client.get(f"/v1/jobs/{job_id}/events")
    text = (chunk.decode() for chunk in response.response)
    events = [next(text) for _ in range(2)]
    assert "event: state" in events[0]
    assert '"step":3' in events[1]
    with database.writing() as session:
        transitions.stop(session, held, result=None)
    assert "event: end" in next(text)
    response.close()


def test_an_owners_streams_are_bounded_and_a_closed_one_makes_room(app, client, job_id, database) -> None:
    found = app.extensions["atelier"]
    while found.streams.take("local"):
        pass
    answer = client.get(f"/v1/jobs/{job_id}/events")
    assert (answer.status_code, answer.json["code"]) == (429, "too_many_streams")
    assert "Retry-After" in answer.headers
    other = client_with(app, add_key(database, "viewer", "bob")).get(f"/v1/jobs/{job_id}/events")
    assert other.status_code == 200, "others follow meanwhile"
    other.close()
    found.streams.give_back("local")
    opened = client.get(f"/v1/jobs/{job_id}/events")
    assert opened.status_code == 200
    opened.close()
    assert found.streams.take("local")


def test_a_stream_ends_with_its_life(settings, database, job_id, key) -> None:
    app = create_app(settings.model_copy(update={"stream_life_s": 0.01}))
    response = client_with(app, key).get(f"/v1/jobs/{job_id}/events")
    assert "retry:" in response.data.decode()


def test_the_picture_comes_in_each_format_and_in_ranges(client, painted) -> None:
    url = f"/v1/jobs/{painted}/result"
    whole = client.get(url)
    assert whole.headers["Content-Disposition"].endswith(f"atelier-{painted}.png")
    for name in ("png", "jpeg", "webp"):
        answer = client.get(f"{url}?format={name}")
        assert Image.open(BytesIO(answer.data)).format == name.upper()
        assert answer.content_type == f"image/{name}"
    part = client.get(url, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.data) == (206, whole.data[10:20])
    assert client.get(url, headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304
    assert client.get(f"{url}?format=bmp").status_code == 422


@pytest.fixture
def half_seen(client, context) -> str:
    """A painted job whose content's left half is transparent."""
    alpha = np.ones((16, 24), np.float32)
    alpha[:, :12] = 0
    png = codec.encode(np.full((16, 24, 3), 0.25, np.float32), alpha, format="png")
    job_id = submitted(client, client.post("/v1/images", data=png, content_type="image/png").json["id"])
    run([job_id], context)
    return job_id


def decoded(answer) -> codec.Decoded:
    return codec.decode(answer.data, max_px=10**6)


@pytest.mark.parametrize("name", ["png", "webp"])
def test_png_and_webp_keep_the_opacity_of_a_picture(client, half_seen, name) -> None:
    rgb, alpha = decoded(client.get(f"/v1/jobs/{half_seen}/result?format={name}"))
    assert np.array_equal(alpha[0], [0] * 12 + [1] * 12)
    assert np.abs(rgb[:, 14:] - 0.25).max() < 0.03


@pytest.mark.parametrize("path", ["result?format=jpeg", "preview"])
def test_jpeg_shows_what_is_transparent_on_white(client, half_seen, path) -> None:
    rgb, alpha = decoded(client.get(f"/v1/jobs/{half_seen}/{path}"))
    assert alpha is None
    assert rgb[:, :10].min() > 0.97
    assert np.abs(rgb[:, 14:] - 0.25).max() < 0.03


def submitted(client, image_id, **params) -> str:
    request = {"content": image_id, "style": image_id, "params": {"size": 32, "steps": 8, **params}}
    return client.post("/v1/jobs", json=request).json["id"]


def test_a_timelapse_is_linked_and_sent_where_one_was_asked_for(client, context, image_id) -> None:
    job_id = submitted(client, image_id, timelapse=3)
    assert "timelapse" not in client.get(f"/v1/jobs/{job_id}").json["links"]
    run([job_id], context)
    url = client.get(f"/v1/jobs/{job_id}").json["links"]["timelapse"]
    answer = client.get(url)
    film = Image.open(BytesIO(answer.data))
    assert (answer.content_type, film.format, film.n_frames) == ("image/webp", "WEBP", 3)
    assert answer.headers["Content-Disposition"].endswith(f"atelier-{job_id}-timelapse.webp")
    assert client.get(url, headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304
    assert client.get(f"/v1/jobs/{job_id}/result?format=webp").headers["ETag"] != answer.headers["ETag"]
    assert client.get(url, headers={"Range": "bytes=10-19"}).data == answer.data[10:20]


def test_a_job_without_a_timelapse_has_no_link_to_one(client, painted) -> None:
    assert "timelapse" not in client.get(f"/v1/jobs/{painted}").json["links"]
    answer = client.get(f"/v1/jobs/{painted}/timelapse")
    assert (answer.status_code, answer.json["code"]) == (404, "not_found")
    assert "parameter `timelapse`" in answer.json["detail"]


def test_the_result_of_an_unfinished_job_is_a_conflict(client, job_id) -> None:
    for path in ("result", "timelapse", "manifest"):
        answer = client.get(f"/v1/jobs/{job_id}/{path}")
        assert (answer.status_code, answer.json["code"]) == (409, "not_finished")


def test_a_job_that_failed_at_its_time_limit_gives_what_was_painted(client, context, image_id) -> None:
    request = {"content": image_id, "style": image_id, "params": {"size": 32, "steps": 50}, "time_limit_s": 1e-6}
    job_id = client.post("/v1/jobs", json=request).json["id"]
    run([job_id], context)
    job = client.get(f"/v1/jobs/{job_id}").json
    assert (job["state"], job["error"]["code"], job["result"]["partial"]) == ("failed", "timed_out", True)
    picture = Image.open(BytesIO(client.get(job["links"]["result"]).data))
    assert picture.size == (job["result"]["width"], job["result"]["height"])
    assert client.get(job["links"]["manifest"]).json["result"]["partial"] is True
    assert len(client.get(job["links"]["losses"]).json["step"]) < 50


def test_losses_are_columns_of_one_length_live_and_after(client, database, redis, job_id, painted) -> None:
    after = client.get(f"/v1/jobs/{painted}/losses").json
    assert {len(column) for column in after.values()} == {len(after["step"])}
    other = client.post("/v1/jobs", json={k: client.get(f"/v1/jobs/{job_id}").json[k] for k in ("content",)} | {
        "style": client.get(f"/v1/jobs/{job_id}").json["content"]}).json["id"]  # fmt: skip
    claim(database, other)
    RedisProgress(redis).steps(other, [step(1), step(2)], None)
    live = client.get(f"/v1/jobs/{other}/losses").json
    assert live["step"] == [1, 2]
    assert set(live) == set(after)


def test_the_preview_is_live_and_stays_after_the_end(client, redis, painted) -> None:
    assert Image.open(BytesIO(client.get(f"/v1/jobs/{painted}/preview").data)).format == "JPEG"
    redis.flushall()
    assert Image.open(BytesIO(client.get(f"/v1/jobs/{painted}/preview").data)).format == "JPEG"


def test_there_is_no_preview_before_the_first_step(client, job_id) -> None:
    assert client.get(f"/v1/jobs/{job_id}/preview").status_code == 404


def test_the_manifest_says_what_decided_the_picture(client, painted) -> None:
    manifest = client.get(f"/v1/jobs/{painted}/manifest").json
    job = client.get(f"/v1/jobs/{painted}").json
    assert manifest["params"] == job["params"]
    assert manifest["content"] == job["content"]
    assert json.dumps(manifest["weights"]) == json.dumps(job["weights"])


def test_a_live_follower_hears_each_step_as_it_is_made(app, client, context, job_id, key) -> None:
    heard: list[str] = []

    def follow() -> None:
        heard.extend(event.name for event in read_events(client_with(app, key).get(f"/v1/jobs/{job_id}/events")))

    follower = threading.Thread(target=follow)
    follower.start()
    run([job_id], context)
    follower.join(20)
    wait_until(lambda: not follower.is_alive(), "the stream ends")
    assert heard.count("step") == 8
    assert heard[-1] == "end"


def test_a_picture_larger_than_any_upload_has_a_preview_and_every_format(settings, database, key, painted) -> None:
    client = client_with(create_app(settings.model_copy(update={"max_upload_px": 100})), key)
    for path in ("preview", "result", "result?format=jpeg", "result?format=webp"):
        assert Image.open(BytesIO(client.get(f"/v1/jobs/{painted}/{path}").data)).size == (24, 16)
