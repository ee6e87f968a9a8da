"""Submitting, listing, showing and canceling jobs."""

import json
from datetime import UTC, datetime, timedelta
from io import BytesIO

import pytest

from shared import clock
from shared.db import workers
from shared.db.jobs import claims, queries, sweeps, transitions
from shared.errors import StorageUnavailable
from shared.messaging.progress import RedisProgress
from shared.states import DesiredState
from tests.integration.api.refused_images import BAD, stored
from tests.support.claims import claim, step

FIELDS = {
    "id", "owner", "state", "preset", "params", "weights", "content", "styles", "init_image", "priority", "label",
    "metadata", "batch_id", "key", "retry_of", "reused_from", "attempt", "retry_at", "start_by", "time_limit_s",
    "retention_s", "webhook", "depth", "keep_metadata", "name", "worker", "progress",
    "queue", "eta", "error", "result", "created_at", "started_at", "ended_at", "expires_at", "links",
}  # fmt: skip


def test_a_submitted_job_is_accepted_with_every_default_filled_in(client, image_id) -> None:
    answer = client.post(
        "/v1/jobs", json={"content": image_id, "style": image_id, "label": "sea", "metadata": {"a": 1}}
    )
    job = answer.json
    assert answer.status_code == 202
    assert set(job) == FIELDS
    assert answer.headers["Location"] == f"/v1/jobs/{job['id']}"
    assert int(answer.headers["Retry-After"]) >= 1
    assert (job["state"], job["preset"], job["label"], job["metadata"]) == ("queued", "balanced", "sea", {"a": 1})
    assert job["params"]["learning_rate"] > 0
    assert (job["styles"], job["init_image"]) == ([{"image": image_id, "weight": 1.0, "mask": None}], None)
    shown = client.get(answer.headers["Location"]).json
    assert (shown["queue"]["position"], shown["queue"]["eta_s"]) == (1, None)


def test_a_jobs_deadline_and_limit_are_kept_and_shown_in_utc(client, database, image_id) -> None:
    wishes = {"start_by": "2030-01-31T12:00:00.5+02:00", "time_limit_s": 90}
    job = client.post("/v1/jobs", json={"content": image_id, "style": image_id, **wishes}).json
    assert (job["start_by"], job["time_limit_s"]) == ("2030-01-31T10:00:00.500Z", 90.0)
    with database.reading() as session:
        row = queries.get_job(session, job["id"])
    assert (row.start_by, row.time_limit_s) == (datetime(2030, 1, 31, 10, 0, 0, 500_000, UTC), 90.0)


def test_a_deadline_in_the_past_is_accepted_and_expires(client, database, image_id) -> None:
    request = {"content": image_id, "style": image_id, "start_by": "2020-01-01T00:00:00Z"}
    job_id = client.post("/v1/jobs", json=request).json["id"]
    with database.writing() as session:
        assert sweeps.expire(session) == [job_id]
    assert client.get(f"/v1/jobs/{job_id}").json["state"] == "expired"


def test_a_waiting_job_says_what_it_waits_for(client, database, job_id) -> None:
    def waiting_for() -> str:
        return client.get(f"/v1/jobs/{job_id}").json["queue"]["waiting_for"]

    assert waiting_for() == "no_worker"
    with database.writing() as session:
        workers.record_heartbeat(session, "w1")
    assert waiting_for() == "turn"
    with database.writing() as session:
        workers.set_desired_state(session, "w1", DesiredState.PAUSE)
    assert waiting_for() == "no_worker"
    with database.writing() as session:
        workers.hold_queue(session, "storage_full")
    assert waiting_for() == "paused"
    with database.writing() as session:
        workers.hold_queue(session, None)
        workers.pause_queue(session)
    assert waiting_for() == "paused"


def test_a_job_that_is_to_be_tried_again_says_when(client, database, job_id) -> None:
    held = claim(database, job_id)
    with database.writing() as session:
        transitions.retry_later(session, held, StorageUnavailable(), after_s=60)
    waiting = client.get(f"/v1/jobs/{job_id}").json
    due_in = datetime.fromisoformat(waiting["retry_at"]) - clock.now()
    assert waiting["state"] == "queued"
    assert timedelta(seconds=50) < due_in <= timedelta(seconds=61)


def test_an_ended_job_says_when_it_goes(client, settings, job_id) -> None:
    assert client.get(f"/v1/jobs/{job_id}").json["expires_at"] is None
    ended = client.post(f"/v1/jobs/{job_id}/cancel").json
    kept = datetime.fromisoformat(ended["expires_at"]) - datetime.fromisoformat(ended["ended_at"])
    assert abs(kept - timedelta(seconds=settings.retention_s)) < timedelta(seconds=5)


def test_one_multipart_request_uploads_and_submits(client, png) -> None:
    body = {
        "content": (BytesIO(png), "a.png"),
        "style": [(BytesIO(png), "b.png"), (BytesIO(png), "c.png")],
        "request": json.dumps({"preset": "classic", "params": {"size": 64}}),
    }
    answer = client.post("/v1/jobs", data=body)
    assert answer.status_code == 202
    assert (answer.json["preset"], answer.json["params"]["size"]) == ("classic", 64)
    assert len(answer.json["styles"]) == 2


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("part", ["content", "style"])
def test_a_bad_picture_in_a_multipart_job_keeps_nothing(client, settings, png, kind, part) -> None:
    data, status, code = BAD[kind]
    body = {name: (BytesIO(data if name == part else png), "x.png") for name in ("content", "style")}
    answer = client.post("/v1/jobs", data=body)
    assert (answer.status_code, answer.json["code"]) == (status, code)
    assert stored(settings) == []
    assert client.get("/v1/jobs").json["jobs"] == []


def test_bad_params_in_a_multipart_job_keep_nothing(client, settings, png) -> None:
    body = {"content": (BytesIO(png), "x"), "style": (BytesIO(png), "x"), "request": '{"params": {"size": 1}}'}
    assert client.post("/v1/jobs", data=body).status_code == 422
    assert stored(settings) == []


def test_an_unknown_image_is_named(client, image_id) -> None:
    unknown = "sha256:" + "0" * 64
    answer = client.post("/v1/jobs", json={"content": image_id, "style": unknown})
    assert (answer.status_code, answer.json["code"], answer.json["images"]) == (422, "unknown_image", [unknown])


@pytest.mark.parametrize(
    ("change", "pointer", "bounds"),
    [
        ({"params": {"sise": 1}}, "/params/sise", {}),
        ({"params": {"size": 5}}, "/params/size", {"unit": "px"}),
        ({"params": {"size": 99999}}, "/params/size", {"le": 16_383, "unit": "px"}),
        ({"params": {"steps": "many"}}, "/params/steps", {"unit": "steps"}),
        ({"params": {"style_layers": {"block1_conv1": -1}}}, "/params/style_layers/block1_conv1", {"ge": 0}),
        ({"preset": "baroque"}, "/preset", {}),
        ({"priority": 1000}, "/priority", {"le": 200}),
        ({"time_limit_s": 0}, "/time_limit_s", {"gt": 0}),
        ({"time_limit_s": 1e9}, "/time_limit_s", {"le": 21_600, "unit": "s"}),
        ({"start_by": "2030-01-31T12:00:00"}, "/start_by", {}),
        ({"start_by": "2030-01-31"}, "/start_by", {}),
        ({"start_by": "2030-02-31T12:00:00Z"}, "/start_by", {}),
        ({"start_by": "0001-01-01T00:00:00+23:00"}, "/start_by", {}),
        ({"start_by": 1_900_000_000}, "/start_by", {}),
        ({"start_by": "1900000000"}, "/start_by", {}),
        ({"content": "mona-lisa.jpg"}, "/content", {}),
        ({"weights": "/etc/passwd"}, "/weights", {}),
        ({"colour": "red"}, "/colour", {}),
        ({"label": "x" * 201}, "/label", {}),
        ({"style": None}, "", {}),
        ({"init_image": "mona-lisa.jpg"}, "/init_image", {}),
        ({"init_job": "../1"}, "/init_job", {}),
        ({"init_image": f"sha256:{'0' * 64}", "init_job": "01a20750-e506-729a-9bdf-2a44836107f2"}, "", {}),
    ],
)
def test_a_mistake_is_pointed_at_with_its_bounds_and_unit(client, image_id, change, pointer, bounds) -> None:
    answer = client.post("/v1/jobs", json={"content": image_id, "style": image_id, **change})
    assert (answer.status_code, answer.json["code"]) == (422, "invalid_params")
    mistake = answer.json["errors"][0]
    assert mistake["pointer"] == pointer
    assert bounds.items() <= mistake.items()


@pytest.mark.parametrize(
    ("data", "media_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"{}", "text/plain", 415),
        (b"", "application/json", 400),
        (b"--x\r\nbroken", "multipart/form-data; boundary=x", 422),
        (b"nothing", "multipart/form-data", 422),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(client, data, media_type, status) -> None:
    answer = client.post("/v1/jobs", data=data, content_type=media_type)
    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"


def test_pages_link_to_the_next_until_there_is_none(client, image_id) -> None:
    request = {"content": image_id, "style": image_id, "label": "a b"}
    made = [client.post("/v1/jobs", json=request).json["id"] for _ in range(5)]
    seen, url = [], "/v1/jobs?limit=2&label=a+b&state=queued"
    while url:
        page = client.get(url)
        seen += [job["id"] for job in page.json["jobs"]]
        url = page.headers["Link"].split(">")[0][1:] if "Link" in page.headers else None
    assert seen == made[::-1]


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "cursor=nonsense", "cursor=4pyT", "state=lost"])
def test_a_bad_question_for_a_listing_is_refused(client, query) -> None:
    answer = client.get(f"/v1/jobs?{query}")
    assert (answer.status_code, answer.json["code"]) == (422, "invalid_params")


def test_a_running_job_shows_its_live_progress(client, database, redis, job_id) -> None:
    claim(database, job_id)
    RedisProgress(redis).steps(job_id, [step(4), step(5)], None)
    answer = client.get(f"/v1/jobs/{job_id}")
    assert answer.json["progress"]["step"] == 5
    assert answer.json["progress"]["fraction"] == 0.5
    assert answer.headers["Retry-After"] == "8"
    assert answer.json["weights"]["name"] == "patch"


def test_a_running_job_shows_the_databases_progress_while_redis_is_away(client, database, job_id) -> None:
    held = claim(database, job_id)
    with database.writing() as session:
        claims.renew(session, held, lease_s=20, progress=step(3))
    assert client.get(f"/v1/jobs/{job_id}").json["progress"]["step"] == 3


def test_jobs_are_accepted_while_redis_is_away(client, job_id) -> None:
    assert client.get(f"/v1/jobs/{job_id}").json["state"] == "queued"
    assert client.get("/readyz").json["state"] == "degraded"


def test_a_queued_job_is_canceled_at_once_and_an_ended_one_is_not(client, database, job_id) -> None:
    answer = client.post(f"/v1/jobs/{job_id}/cancel")
    assert (answer.status_code, answer.json["state"]) == (202, "canceled")
    assert "Retry-After" not in answer.headers
    assert client.post(f"/v1/jobs/{job_id}/cancel").status_code == 202


def test_canceling_a_running_job_leaves_a_wish_in_both_places(client, database, redis, job_id) -> None:
    claim(database, job_id)
    assert client.post(f"/v1/jobs/{job_id}/cancel").json["state"] == "running"
    assert RedisProgress(redis).steps(job_id, [step(1)], None) is True
    with database.reading() as session:
        assert queries.get_job(session, job_id).cancel_requested_at is not None


def test_canceling_a_finished_job_is_refused(client, database, job_id) -> None:
    held = claim(database, job_id)
    with database.writing() as session:
        transitions.succeed(
            session,
            held,
            result={"key": "k"} | {"width": 1, "height": 1, "bytes": 1, "format": "png", "partial": False},
        )
    answer = client.post(f"/v1/jobs/{job_id}/cancel")
    assert (answer.status_code, answer.json["code"]) == (409, "illegal_transition")


@pytest.mark.parametrize("path", ["", "/events", "/preview", "/losses", "/result", "/manifest"])
@pytest.mark.parametrize("job", ["x", "01a20750-e506-729a-9bdf-2a44836107f2"])
def test_an_unknown_job_is_not_found(client, job, path) -> None:
    answer = client.get(f"/v1/jobs/{job}{path}")
    assert (answer.status_code, answer.json["code"]) == (404, "not_found")


def test_a_failed_job_says_why(client, database, job_id) -> None:
    from shared.errors import Diverged

    held = claim(database, job_id)
    with database.writing() as session:
        transitions.fail(session, held, Diverged("at step 3"))
    job = client.get(f"/v1/jobs/{job_id}").json
    assert (job["state"], job["error"]["code"], job["error"]["message"]) == ("failed", "diverged", "at step 3")
    answer = client.get(f"/v1/jobs/{job_id}/result")
    assert (answer.status_code, answer.json["code"]) == (409, "no_result")
    assert answer.json["detail"] == "The job has failed without a picture: diverged."


def test_a_job_that_was_canceled_before_its_first_step_says_that_there_is_no_picture(client, job_id) -> None:
    client.post(f"/v1/jobs/{job_id}/cancel")
    answer = client.get(f"/v1/jobs/{job_id}/result")
    assert (answer.status_code, answer.json["code"]) == (409, "no_result")
    assert answer.json["detail"] == "The job was canceled without a picture."
