"""Retries of one job, of a batch's items and of many jobs: what they keep, and what they may change."""

from datetime import timedelta

import pytest

from shared import clock
from shared.db.admin import bulk_actions
from shared.db.jobs import queries, transitions
from shared.errors import Diverged
from tests.support.claims import claim_job
from tests.support.factories import add_batch, add_items, add_job

#: What a job may be asked for besides what is painted.
SETTINGS = {
    "priority": 7,
    "time_limit_s": 90.0,
    "retention_s": 3600.0,
    "webhook": "https://example.com/hook",
    "metadata": {"a": 1},
    "label": "sea",
    "depth": 16,
    "keep_metadata": True,
    "name": "harbour.jpg",
}


def fail(database, job_id: str) -> None:
    with database.writing() as session:
        held = claim_job(session, job_id, worker="w1", weights={}, lease_s=20)
        assert held is not None
        transitions.fail(session, held, Diverged("no numbers"))


@pytest.fixture
def failed(client, database, image_id) -> str:
    """A job with every setting, which has failed."""
    made = client.post("/v1/jobs", json={"content": image_id, "style": image_id, **SETTINGS}).json
    fail(database, made["id"])
    return made["id"]


def settings_of(job: dict) -> dict:
    return {name: job[name] for name in SETTINGS}


def test_a_retry_keeps_every_setting(client, failed) -> None:
    answer = client.post(f"/v1/jobs/{failed}/retry")
    assert answer.status_code == 202
    assert settings_of(answer.json) == SETTINGS
    assert answer.json["retry_of"] == failed


@pytest.mark.parametrize(
    "changes",
    [
        {"time_limit_s": 600.0},
        {"time_limit_s": None},
        {"priority": -3, "retention_s": 60.0, "metadata": {}, "webhook": None},
        {"webhook": "https://example.com/other"},
    ],
)
def test_a_retry_changes_what_its_body_names_alone(client, failed, changes) -> None:
    answer = client.post(f"/v1/jobs/{failed}/retry", json=changes)
    assert settings_of(answer.json) == SETTINGS | changes


def test_a_retention_of_null_is_the_servers(client, settings, failed) -> None:
    assert (
        client.post(f"/v1/jobs/{failed}/retry", json={"retention_s": None}).json["retention_s"] == settings.retention_s
    )


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"time_limit_s": 1e9}, "/time_limit_s"),
        ({"time_limit_s": 0}, "/time_limit_s"),
        ({"retention_s": 1e12}, "/retention_s"),
        ({"webhook": "http://127.0.0.1/"}, "/webhook"),
        ({"priority": 201}, "/priority"),
        ({"content": "x"}, "/content"),
    ],
)
def test_a_change_that_is_not_allowed_is_refused_and_nothing_is_queued(client, failed, changes, pointer) -> None:
    answer = client.post(f"/v1/jobs/{failed}/retry", json=changes)
    assert answer.status_code in (403, 422)
    assert answer.json["errors"][0]["pointer"] == pointer
    assert len(client.get("/v1/jobs").json["jobs"]) == 1


def test_a_repeated_request_makes_one_retry_and_another_body_conflicts(client, failed) -> None:
    once = {"headers": {"Idempotency-Key": "k"}}
    first = client.post(f"/v1/jobs/{failed}/retry", json={"time_limit_s": 600}, **once).json
    assert client.post(f"/v1/jobs/{failed}/retry", json={"time_limit_s": 600}, **once).json["id"] == first["id"]
    assert client.post(f"/v1/jobs/{failed}/retry", **once).json["code"] == "idempotency_conflict"


@pytest.mark.parametrize(("ahead", "is_kept"), [(timedelta(hours=1), True), (timedelta(hours=-1), False)])
def test_a_time_to_start_by_is_kept_while_it_lies_ahead(client, database, ahead, is_kept) -> None:
    job_id = add_job(database, start_by=clock.now() + timedelta(hours=1))
    fail(database, job_id)
    with database.writing() as session:
        queries.get_job(session, job_id).start_by = clock.now() + ahead
    again = client.post(f"/v1/jobs/{job_id}/retry").json
    assert (again["start_by"] is not None) == is_kept
    assert again["state"] == "queued"


@pytest.mark.parametrize(
    ("body", "limit_s"), [(None, 90.0), ({"time_limit_s": 600}, 600.0), ({"time_limit_s": None}, None)]
)
def test_retried_items_keep_their_settings_but_for_the_time_limit_given(client, database, body, limit_s) -> None:
    batch_id = add_batch(database, state="running", time_limit_s=90.0, retention_s=3600.0, label="sea")
    (job_id,) = add_items(database, batch_id, 1)
    fail(database, job_id)
    answer = client.post(f"/v1/batches/{batch_id}/retry-failed", **({"json": body} if body else {}))
    assert answer.json["retried"] == 1
    (item,) = client.get(f"/v1/batches/{batch_id}/items").json["jobs"]
    assert item["retry_of"] == job_id
    assert (item["time_limit_s"], item["retention_s"], item["label"]) == (limit_s, 3600.0, "sea")


def test_an_item_retried_as_a_job_keeps_the_name_of_its_photograph(client, database) -> None:
    batch_id = add_batch(database, state="running")
    (job_id,) = add_items(database, batch_id, 1)
    fail(database, job_id)
    name = client.get(f"/v1/jobs/{job_id}").json["name"]
    assert name
    assert client.post(f"/v1/jobs/{job_id}/retry").json["name"] == name


def test_a_batch_refuses_a_time_limit_that_is_too_long(client, database) -> None:
    batch_id = add_batch(database, state="running")
    answer = client.post(f"/v1/batches/{batch_id}/retry-failed", json={"time_limit_s": 1e9})
    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, "/time_limit_s")


@pytest.mark.parametrize(("more", "limit_s"), [({}, 90.0), ({"time_limit_s": 600}, 600.0)])
def test_a_bulk_retry_keeps_every_setting_but_for_the_time_limit_given(client, database, failed, more, limit_s) -> None:
    body = {"action": "retry", "filter": {"code": "diverged"}, "reason": "r", **more}
    started = client.post("/v1/operations", json=body).json
    assert started["time_limit_s"] == more.get("time_limit_s")
    with database.writing() as session:
        chunk = bulk_actions.run_chunk(session, started["id"])
    assert chunk is not None
    assert chunk.operation.done == 1
    (again,) = client.get("/v1/jobs?state=queued").json["jobs"]
    assert settings_of(again) == SETTINGS | {"time_limit_s": limit_s}


@pytest.mark.parametrize(("action", "limit_s"), [("cancel", 600), ("delete", 600), ("retry", 1e9), ("retry", 0)])
def test_a_bulk_action_refuses_a_time_limit_that_means_nothing(client, action, limit_s) -> None:
    body = {"action": action, "filter": {"label": "sea"}, "reason": "r", "time_limit_s": limit_s}
    assert client.post("/v1/operations", json=body).status_code == 422
