"""Requests sent again, ids of the client's choosing, jobs tried again and deleted."""

import json
from io import BytesIO

import pytest

from shared import ids
from shared.db.jobs import transitions
from tests.support.claims import claim
from tests.support.concurrency import race
from tests.support.factories import add_key
from tests.support.flask_clients import client_with

PARAMS = {"size": 32, "steps": 8}


@pytest.fixture
def body(image_id) -> dict:
    return {"content": image_id, "style": image_id, "params": PARAMS}


def count(client) -> int:
    return len(client.get("/v1/jobs?limit=200").json["jobs"])


def test_the_same_request_with_the_same_key_is_answered_alike(client, body) -> None:
    first, again = (client.post("/v1/jobs", json=body, headers={"Idempotency-Key": "k-1"}) for _ in range(2))
    assert (first.status_code, first.json, first.headers["Location"]) == (202, again.json, again.headers["Location"])
    assert again.status_code == 202
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert count(client) == 1


def test_another_request_with_the_key_is_a_conflict(client, body) -> None:
    client.post("/v1/jobs", json=body, headers={"Idempotency-Key": "k-1"})
    other = client.post("/v1/jobs", json={**body, "label": "other"}, headers={"Idempotency-Key": "k-1"})
    assert (other.status_code, other.json["code"]) == (422, "idempotency_conflict")


def test_a_key_is_its_owners_own(app, client, database, body, png) -> None:
    client.post("/v1/jobs", json=body, headers={"Idempotency-Key": "k-1"})
    stranger = client_with(app, add_key(database, "client", "ann"))
    stranger.post("/v1/images", data=png, content_type="image/png")
    answer = stranger.post("/v1/jobs", json={**body, "label": "mine"}, headers={"Idempotency-Key": "k-1"})
    assert (answer.status_code, answer.json["owner"]) == (202, "ann")


@pytest.mark.parametrize("odd", ["", "two words", "x" * 256, "ü"])
def test_a_key_that_is_none_is_refused(client, body, odd) -> None:
    answer = client.post("/v1/jobs", json=body, headers={"Idempotency-Key": odd})
    assert (answer.status_code, answer.json["code"]) == (400, "invalid_request")
    assert count(client) == 0


def test_a_form_is_the_same_request_whatever_its_boundary(client, png) -> None:
    def form() -> dict:
        return {
            "content": (BytesIO(png), "a.png"),
            "style": (BytesIO(png), "b.png"),
            "request": json.dumps({"params": PARAMS}),
        }

    first, again = (client.post("/v1/jobs", data=form(), headers={"Idempotency-Key": "k"}) for _ in range(2))
    assert first.json["id"] == again.json["id"]


def test_a_refused_request_leaves_its_key_unused(client, body) -> None:
    wrong = {**body, "params": {"size": -1}}
    for _ in range(2):
        assert client.post("/v1/jobs", json=wrong, headers={"Idempotency-Key": "k"}).json["code"] == "invalid_params"
    assert client.post("/v1/jobs", json=body, headers={"Idempotency-Key": "k"}).status_code == 202


def test_a_race_of_one_request_makes_one_job(app, client, key, body) -> None:
    made = []

    def submit() -> None:
        answer = client_with(app, key).post("/v1/jobs", json=body, headers={"Idempotency-Key": "raced"})
        made.append((answer.status_code, answer.json.get("id")))

    race(submit, 8)
    assert len(made) == 8
    assert set(made) == {(202, made[0][1])}
    assert count(client) == 1


def test_a_call_to_a_webhook_is_asked_for_once(client) -> None:
    body, headers = {"url": "https://example.org/hook"}, {"Idempotency-Key": "w"}
    first, again = (client.post("/v1/webhooks/test", json=body, headers=headers) for _ in range(2))
    told = {"Idempotency-Key": "r"}
    redelivered = [client.post(first.json["links"]["redeliver"], headers=told) for _ in range(2)]
    for one, other in ((first, again), redelivered):
        assert (one.status_code, one.json, one.headers["Location"]) == (202, other.json, other.headers["Location"])
        assert "Idempotency-Replayed" not in one.headers
        assert other.headers["Idempotency-Replayed"] == "true"
    ids_made = [each["id"] for each in client.get("/v1/webhooks/deliveries").json["deliveries"]]
    assert ids_made == [redelivered[0].json["id"], first.json["id"]]
    conflict = client.post("/v1/webhooks/test", json={"url": "https://example.org/other"}, headers=headers)
    assert (conflict.status_code, conflict.json["code"]) == (422, "idempotency_conflict")


def test_a_key_is_made_once_and_a_repetition_names_it_without_what_opens(client) -> None:
    body, headers = {"name": "ann"}, {"Idempotency-Key": "a"}
    made = client.post("/v1/keys", json=body, headers=headers).json
    again = client.post("/v1/keys", json=body, headers=headers)
    assert (again.status_code, again.json["code"], again.json["key_id"]) == (409, "already_made", made["id"])
    assert made["id"] in again.json["detail"]
    assert made["key"].split("_", 2)[2] not in again.text
    assert [key["name"] for key in client.get("/v1/keys").json["keys"]].count("ann") == 1
    other = client.post("/v1/keys", json={"name": "bob"}, headers=headers)
    assert other.json["code"] == "idempotency_conflict"
    assert client.post("/v1/keys", json=body).json["id"] != made["id"]


def test_a_race_of_one_request_makes_one_key(app, client, key) -> None:
    answers = []

    def ask() -> None:
        answer = client_with(app, key).post("/v1/keys", json={"name": "ann"}, headers={"Idempotency-Key": "raced"})
        answers.append(answer.json.get("code", "made"))

    race(ask, 8)
    assert sorted(answers) == ["already_made"] * 7 + ["made"]
    assert len(client.get("/v1/keys").json["keys"]) == 2


def test_a_job_may_have_an_id_of_the_clients_choosing(client, body) -> None:
    job_id = "6ba7b810-9dad-41d1-80b4-00c04fd430c8"
    first = client.put(f"/v1/jobs/{job_id}", json=body)
    again = client.put(f"/v1/jobs/{job_id}", json=body)
    assert (first.status_code, first.json["id"]) == (202, job_id)
    assert (again.status_code, again.json["id"], count(client)) == (200, job_id, 1)
    other = client.put(f"/v1/jobs/{job_id}", json={**body, "label": "other"})
    assert (other.status_code, other.json["code"]) == (409, "id_taken")


def test_an_id_that_another_owner_has_is_taken(app, client, database, body, png) -> None:
    job_id = client.post("/v1/jobs", json=body).json["id"]
    stranger = client_with(app, add_key(database, "client", "ann"))
    stranger.post("/v1/images", data=png, content_type="image/png")
    assert stranger.put(f"/v1/jobs/{job_id}", json=body).status_code == 409


def test_jobs_of_chosen_ids_are_listed_by_age(client, body) -> None:
    made = []
    for job_id in ("ffffffff-9dad-41d1-80b4-00c04fd430c8", None, "00000000-9dad-41d1-80b4-00c04fd430c8"):
        answer = client.put(f"/v1/jobs/{job_id}", json=body) if job_id else client.post("/v1/jobs", json=body)
        made.append(answer.json["id"])
    assert [job["id"] for job in client.get("/v1/jobs").json["jobs"]] == made[::-1]


@pytest.mark.parametrize(
    "job_id", ["mine", ids.new_id().upper(), ids.new_id().replace("-", "")], ids=["a word", "capitals", "no hyphens"]
)
def test_an_id_that_is_no_uuid_is_refused(client, body, job_id) -> None:
    assert client.put(f"/v1/jobs/{job_id}", json=body).json["code"] == "invalid_params"


def test_a_job_that_ended_is_tried_again_as_another(client, body) -> None:
    former = client.post("/v1/jobs", json={**body, "label": "sea", "metadata": {"a": 1}, "retention_s": 60}).json
    refused = client.post(f"/v1/jobs/{former['id']}/retry")
    assert (refused.status_code, refused.json["code"]) == (409, "illegal_transition")
    ended = client.post(f"/v1/jobs/{former['id']}/cancel").json
    answers = [client.post(ended["links"]["retry"], headers={"Idempotency-Key": "r"}) for _ in range(2)]
    again = answers[0].json
    assert (answers[0].status_code, again["retry_of"], again["state"]) == (202, former["id"], "queued")
    same = ("preset", "params", "content", "styles", "label", "metadata", "priority", "retention_s", "owner")
    assert {name: again[name] for name in same} == {name: former[name] for name in same}
    assert answers[1].json["id"] == again["id"] != former["id"]


def test_a_job_that_ended_is_deleted_with_its_files(client, database, store, job_id) -> None:
    refused = client.delete(f"/v1/jobs/{job_id}")
    assert (refused.status_code, refused.json["code"]) == (409, "illegal_transition")
    held = claim(database, job_id)
    store.put(f"jobs/{job_id}/1/result.png", b"picture")
    with database.writing() as session:
        transitions.stop(session, held, result=None)
    assert client.delete(f"/v1/jobs/{job_id}").status_code == 204
    assert client.get(f"/v1/jobs/{job_id}").status_code == client.delete(f"/v1/jobs/{job_id}").status_code == 404
    assert list(store.list(f"jobs/{job_id}/")) == []
