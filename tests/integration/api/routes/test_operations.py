"""Bulk actions over HTTP, and with maintenance behind it; grouped failures."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from shared.db.admin import audit
from shared.db.jobs import claims, queries, transitions
from shared.errors import OutOfMemory
from shared.messaging.progress import RedisProgress
from shared.storage.store import attempt_key
from tests.support.claims import claim_job
from tests.support.factories import add_batch, add_items, add_job, add_key
from tests.support.flask_clients import client_with
from worker.maintenance.bulk_actions import advance_bulk_actions


@pytest.fixture
def maintenance(database, store, redis) -> Callable[[], None]:
    return partial(advance_bulk_actions, database, store, RedisProgress(redis))


@pytest.fixture
def ann(app, database):
    """A client of the owner `ann`."""
    return client_with(app, add_key(database, "client", "ann"))


def asked(action: str = "cancel", **values: Any) -> dict[str, Any]:
    return {"action": action, "filter": {"label": "sea"}, "reason": "tidy up", **values}


def claim(database, job_id: str) -> claims.Claim:
    with database.writing() as session:
        held = claim_job(session, job_id, worker="w1", weights={}, lease_s=20)
    assert held is not None
    return held


def failed(database, **values: Any) -> str:
    held = claim(database, add_job(database, **values))
    with database.writing() as session:
        transitions.fail(session, held, OutOfMemory("8 GB"))
    return held.job_id


def states(client) -> list[str]:
    return [job["state"] for job in client.get("/v1/jobs").json["jobs"]]


def test_a_dry_run_counts_and_does_nothing(client, database, maintenance) -> None:
    for _ in range(3):
        add_job(database, label="sea")
    counted = client.post("/v1/operations", json=asked(dry_run=True, reason=""))
    assert (counted.status_code, counted.json) == (200, {"action": "cancel", "matched": 3, "more": False})
    maintenance()
    assert states(client) == ["queued"] * 3
    assert client.get("/v1/operations").json["operations"] == []


def test_an_operation_is_accepted_carried_out_and_tells_how_far_it_is(client, database, maintenance) -> None:
    for _ in range(3):
        add_job(database, label="sea")
    other = add_job(database)
    begun = client.post("/v1/operations", json=asked())
    assert begun.status_code == 202
    assert begun.headers["Location"] == begun.json["links"]["self"] == f"/v1/operations/{begun.json['id']}"
    assert (begun.json["state"], begun.json["matched"], begun.json["done"]) == ("running", 3, 0)
    assert begun.json["filter"] == {"label": "sea", "state": ["queued", "running"]}
    maintenance()
    done = client.get(begun.headers["Location"]).json
    assert (done["state"], done["done"], done["refused"], done["reason"]) == ("done", 3, 0, "tidy up")
    assert client.get("/v1/jobs?state=queued").json["jobs"][0]["id"] == other


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"filter": {}}, "/filter"),
        ({"filter": {"label": None}}, "/filter"),
        ({"filter": {"colour": "red"}}, "/filter/colour"),
        ({"filter": {"state": ["lost"]}}, "/filter/state/0"),
        ({"filter": {"created_after": "yesterday"}}, "/filter/created_after"),
        ({"reason": "  "}, ""),
        ({"action": "paint"}, "/action"),
    ],
)
def test_what_is_no_operation_is_refused_and_pointed_at(client, wrong, pointer) -> None:
    refused = client.post("/v1/operations", json=asked() | wrong)
    assert (refused.status_code, refused.json["code"]) == (422, "invalid_params")
    assert [error["pointer"] for error in refused.json["errors"]] == [pointer]
    assert client.get("/v1/operations").json["operations"] == []


def test_an_operation_is_begun_once_however_often_it_is_asked_for(client) -> None:
    first, again = (client.post("/v1/operations", json=asked(), headers={"Idempotency-Key": "o"}) for _ in range(2))
    assert (first.json["id"], again.headers["Idempotency-Replayed"]) == (again.json["id"], "true")
    assert len(client.get("/v1/operations").json["operations"]) == 1
    assert len(client.get("/v1/audit").json["entries"]) == 1


def test_a_client_acts_on_its_own_jobs_and_sees_its_own_operations(client, ann, database, maintenance) -> None:
    mine, others = add_job(database, label="sea", owner="ann"), add_job(database, label="sea", owner="bob")
    begun = ann.post("/v1/operations", json=asked(filter={"label": "sea", "owner": "bob"})).json
    operators = client.post("/v1/operations", json=asked(filter={"label": "none"})).json
    assert (begun["owner"], begun["matched"], begun["filter"]["owner"]) == ("ann", 1, "ann")
    maintenance()
    assert [client.get(f"/v1/jobs/{job_id}").json["state"] for job_id in (mine, others)] == ["canceled", "queued"]
    assert [each["id"] for each in ann.get("/v1/operations").json["operations"]] == [begun["id"]]
    assert ann.get(operators["links"]["self"]).status_code == 404


def test_pages_of_operations_are_linked(client) -> None:
    made = [client.post("/v1/operations", json=asked()).json["id"] for _ in range(3)]
    first = client.get("/v1/operations?limit=2")
    second = client.get(first.headers["Link"].split(";")[0].strip("<>"))
    assert [each["id"] for page in (first, second) for each in page.json["operations"]] == made[::-1]


def test_one_that_is_stopped_leaves_the_rest_as_it_is(client, database, maintenance) -> None:
    add_job(database, label="sea")
    begun = client.post("/v1/operations", json=asked()).json
    stopped = client.post(begun["links"]["stop"])
    assert (stopped.status_code, stopped.json["state"]) == (200, "stopped")
    maintenance()
    assert states(client) == ["queued"]
    done = client.post("/v1/operations", json=asked(filter={"label": "none"})).json
    maintenance()
    assert client.post(done["links"]["stop"]).json["code"] == "illegal_transition"


def test_running_jobs_are_told_at_once(client, database, maintenance, redis) -> None:
    job_id = add_job(database, label="sea")
    claim(database, job_id)
    client.post("/v1/operations", json=asked())
    maintenance()
    assert redis.exists(f"atelier:job:{job_id}:cancel")


def test_the_files_of_deleted_jobs_go_too(client, database, maintenance, store) -> None:
    job_id = failed(database, label="sea")
    store.put(attempt_key(job_id, 1, "result.png"), b"picture")
    client.post("/v1/operations", json=asked("delete"))
    maintenance()
    assert states(client) == []
    assert not store.exists(attempt_key(job_id, 1, "result.png"))


def test_failures_are_grouped_and_each_group_can_be_listed_and_tried_again(client, database, maintenance) -> None:
    former = [failed(database) for _ in range(2)]
    add_job(database)
    (group,) = client.get("/v1/failures").json["failures"]
    assert (group["code"], group["scale"], group["count"]) == ("out_of_memory", None, 2)
    assert (group["examples"], group["message"]) == (former[::-1], "8 GB")
    assert [job["id"] for job in client.get(group["links"]["jobs"]).json["jobs"]] == former[::-1]
    client.post("/v1/operations", json=asked("retry", filter={"code": group["code"]}))
    maintenance()
    with database.reading() as session:
        found = queries.list_jobs(session, queries.Filter(code=None), limit=9)
    assert sorted(job.retry_of for job in found if job.retry_of) == former


def test_jobs_are_listed_by_their_batch_and_by_when_they_were_made(client, database) -> None:
    batch_id = add_batch(database)
    items, other = add_items(database, batch_id, 2), add_job(database)
    found = client.get(f"/v1/jobs?batch={batch_id}").json["jobs"]
    assert [job["id"] for job in found] == items[::-1]
    assert client.get("/v1/jobs?created_before=2020-01-01T00:00:00Z").json["jobs"] == []
    later = client.get("/v1/jobs?created_before=2999-01-01T00:00:00Z").json["jobs"]
    assert [job["id"] for job in later] == [other, *items[::-1]]
    assert client.get("/v1/jobs?created_before=2020").json["errors"][0]["pointer"] == "created_before"


def test_who_began_and_stopped_an_operation_is_in_the_log(client, database) -> None:
    add_job(database, label="sea")
    begun = client.post("/v1/operations", json=asked()).json
    client.post(begun["links"]["stop"])
    with database.reading() as session:
        stop, start = audit.list_entries(session, audit.Filter(), limit=9)
    assert (start.action, start.subject, start.count, start.reason) == ("operation.start", begun["id"], 1, "tidy up")
    assert start.details == {"action": "cancel", "filter": {"label": "sea"}}
    assert (stop.action, stop.subject, stop.key_id) == ("operation.stop", begun["id"], begun["key_id"])
