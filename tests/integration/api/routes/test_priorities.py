"""Priorities above those of all owners: operators give them, and nobody else gets them by copying."""

import pytest

from shared.db.admin import bulk_actions
from shared.db.jobs import queries, transitions
from shared.errors import Diverged
from tests.integration.api.dashboard.signing_in import signed_in
from tests.support.claims import claim_job
from tests.support.factories import add_batch, add_job, add_key
from tests.support.flask_clients import client_with

_URGENT = 150


@pytest.fixture
def ann_key(database) -> str:
    return add_key(database, "client", "ann")


@pytest.fixture
def ann(app, ann_key):
    return client_with(app, ann_key)


@pytest.fixture
def urgent(database) -> str:
    """A job of ann's that an operator had put before all owners', and that has failed."""
    job_id = add_job(database, owner="ann", priority=_URGENT)
    with database.writing() as session:
        held = claim_job(session, job_id, worker="w1", weights={}, lease_s=20)
        transitions.fail(session, held, Diverged("no numbers"))
    return job_id


def refused(answer) -> bool:
    mistake = answer.json["errors"][0]
    return (answer.status_code, mistake["pointer"], mistake["le"]) == (422, "/priority", 100)


def test_an_operator_puts_a_job_a_batch_and_a_retry_before_all_owners(client, database, image_id, urgent) -> None:
    asked = {"style": image_id, "priority": 200}
    assert client.post("/v1/jobs", json={"content": image_id, **asked}).json["priority"] == 200
    assert client.post("/v1/batches", json=asked).json["priority"] == 200
    batch_id = add_batch(database, owner="ann")
    assert client.patch(f"/v1/batches/{batch_id}", json={"priority": 101}).json["priority"] == 101
    assert client.post(f"/v1/jobs/{urgent}/retry", json={"priority": 199}).json["priority"] == 199


def test_even_an_operators_priority_has_a_bound(client, image_id) -> None:
    answer = client.post("/v1/jobs", json={"content": image_id, "style": image_id, "priority": 201})
    assert (answer.status_code, answer.json["errors"][0]["le"]) == (422, 200)


def test_nobody_else_may_give_such_a_priority(ann, database, png, urgent) -> None:
    image_id = ann.post("/v1/images", data=png, content_type="image/png").json["id"]
    asked = {"style": image_id, "priority": 101}
    job = {"content": image_id, **asked}
    assert refused(ann.post("/v1/jobs", json=job))
    assert refused(ann.post("/v1/jobs?dry_run=true", json=job))
    assert refused(ann.put("/v1/jobs/01a20750-e506-729a-9bdf-2a44836107f2", json=job))
    assert refused(ann.post("/v1/batches", json=asked))
    assert refused(ann.post(f"/v1/jobs/{urgent}/retry", json={"priority": 101}))
    batch_id = add_batch(database, owner="ann")
    assert refused(ann.patch(f"/v1/batches/{batch_id}", json={"priority": 101}))
    assert ann.post("/v1/jobs", json=job | {"priority": 100}).json["priority"] == 100


def test_a_retry_keeps_its_lead_only_if_an_operator_asks(client, ann, urgent) -> None:
    assert client.post(f"/v1/jobs/{urgent}/retry").json["priority"] == _URGENT
    assert ann.post(f"/v1/jobs/{urgent}/retry").json["priority"] == 100


@pytest.mark.parametrize(("asks", "priority"), [("client", _URGENT), ("ann", 100)])
def test_a_bulk_retry_keeps_its_lead_only_if_an_operator_asks(request, database, urgent, asks, priority) -> None:
    body = {"action": "retry", "filter": {"code": "diverged"}, "reason": "r"}
    started = request.getfixturevalue(asks).post("/v1/operations", json=body).json
    with database.writing() as session:
        bulk_actions.run_chunk(session, started["id"])
    with database.reading() as session:
        (again,) = queries.list_jobs(session, queries.Filter(states=["queued"]), limit=10)
    assert (again.retry_of, again.priority) == (urgent, priority)


def test_a_batch_that_an_operator_raised_may_be_changed_otherwise_by_its_owner(ann, database) -> None:
    batch_id = add_batch(database, owner="ann", priority=_URGENT)
    changed = ann.patch(f"/v1/batches/{batch_id}", json={"max_parallel": 2}).json
    assert (changed["max_parallel"], changed["priority"]) == (2, _URGENT)


def test_the_form_offers_each_role_what_it_may_give(app, key, ann_key, urgent) -> None:
    page = f"/dashboard/submit?again={urgent}"
    shown = [signed_in(app, each).get(page).text.split('name="priority"')[1].split(">")[0] for each in (key, ann_key)]
    assert 'max="200" value="150"' in shown[0]
    assert 'max="100" value="100"' in shown[1]
