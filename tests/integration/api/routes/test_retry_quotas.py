"""Retries are charged like submissions: to the key of a client, to the jobs' owner where an operator retries."""

import pytest

from shared.db.admin import bulk_actions
from shared.db.jobs import transitions
from shared.errors import Diverged
from tests.support.claims import claim_job
from tests.support.factories import add_batch, add_items, add_job, add_key
from tests.support.flask_clients import client_with

#: Work of one job of the factories, in px·steps, is far below this.
PLENTY = 1e12


def fail(database, *job_ids: str) -> None:
    for job_id in job_ids:
        with database.writing() as session:
            held = claim_job(session, job_id, worker="w1", weights={}, lease_s=20)
            transitions.fail(session, held, Diverged("no numbers"))


@pytest.fixture
def failed_batch(database) -> str:
    """A batch of ann's whose three items have failed."""
    batch_id = add_batch(database, owner="ann", state="running")
    fail(database, *add_items(database, batch_id, 3))
    return batch_id


def retry(client, batch_id: str):
    return client.post(f"/v1/batches/{batch_id}/retry-failed")


def test_as_many_items_are_retried_as_may_wait(app, database, failed_batch) -> None:
    ann = client_with(app, add_key(database, "client", "ann", max_waiting=2))
    answer = retry(ann, failed_batch)
    assert (answer.status_code, answer.json["code"], answer.json["retried"]) == (429, "quota_exceeded", 2)
    assert "Retry-After" in answer.headers
    counts = ann.get(f"/v1/batches/{failed_batch}").json["counts"]
    assert (counts["queued"], counts["failed"]) == (2, 1)
    assert retry(ann, failed_batch).json["retried"] == 0


def test_retried_items_count_as_work_of_the_day(app, database, failed_batch) -> None:
    poor = retry(client_with(app, add_key(database, "client", "ann", max_work_per_day=1.0)), failed_batch).json
    assert (poor["code"], poor["unit"], poor["retried"]) == ("quota_exceeded", "px·steps", 0)
    ann = client_with(app, add_key(database, "client", "ann", max_work_per_day=PLENTY))
    assert retry(ann, failed_batch).json["retried"] == 3


def test_an_operator_who_retries_items_uses_the_owners_room(client, database, failed_batch) -> None:
    add_key(database, "client", "ann", max_waiting=2)
    answer = retry(client, failed_batch)
    assert (answer.status_code, answer.json["retried"]) == (429, 2)


def test_an_operator_who_retries_a_job_uses_the_owners_room(client, database) -> None:
    add_key(database, "client", "ann", max_waiting=1)
    first = add_job(database, owner="ann")
    fail(database, first)
    assert client.post(f"/v1/jobs/{first}/retry").status_code == 202
    assert client.post(f"/v1/jobs/{first}/retry").json["code"] == "quota_exceeded"


@pytest.mark.parametrize("role", ["client", "operator"])
def test_a_bulk_retry_uses_the_owners_room_whoever_began_it(app, client, database, role) -> None:
    key = add_key(database, "client", "ann", max_waiting=2)
    fail(database, *[add_job(database, owner="ann", label="sea") for _ in range(2)])
    add_job(database, owner="ann")
    asking = client_with(app, key) if role == "client" else client
    body = {"action": "retry", "filter": {"code": "diverged"}, "reason": "r"}
    started = asking.post("/v1/operations", json=body).json
    with database.writing() as session:
        chunk = bulk_actions.run_chunk(session, started["id"])
    assert chunk is not None
    assert (chunk.operation.done, chunk.operation.refused) == (2, 1), "of two, one is refused"
