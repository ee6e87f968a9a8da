"""The audit log over HTTP: every deed has its entry, and what was not done has none."""

import pytest
from sqlalchemy import update

from shared.db.models import Job
from shared.states import BatchState
from tests.support.claims import claim_job
from tests.support.factories import add_batch, add_items, add_key, add_worker
from tests.support.flask_clients import client_with


def actions(client, query: str = "") -> list[str]:
    return [entry["action"] for entry in client.get(f"/v1/audit{query}").json["entries"]]


def test_what_is_done_to_jobs_is_noted_and_submitting_them_is_not(client, database, job_id) -> None:
    client.post(f"/v1/jobs/{job_id}/cancel")
    client.post(f"/v1/jobs/{job_id}/cancel")  # wishing twice is wishing once
    again = client.post(f"/v1/jobs/{job_id}/retry").json["id"]
    client.delete(f"/v1/jobs/{job_id}")
    entries = client.get("/v1/audit").json["entries"]
    assert [(entry["action"], entry["subject"]) for entry in entries] == [
        ("job.delete", job_id),
        ("job.retry", job_id),
        ("job.cancel", job_id),
    ]
    assert entries[1]["details"] == {"job_id": again}
    assert {(entry["key_name"], entry["count"]) for entry in entries} == {("local's", 1)}


def test_what_operators_do_is_noted(client, database) -> None:
    add_worker(database, "w1")
    for path in ("queue/pause", "queue/resume", "workers/w1/drain", "workers/w1/pause", "workers/w1/resume"):
        client.post(f"/v1/{path}")
    made = client.post("/v1/keys", json={"name": "shop", "role": "client"}).json["id"]
    client.delete(f"/v1/keys/{made}")
    client.post("/v1/webhooks/secret/rotate")
    assert actions(client)[::-1] == [
        "queue.pause",
        "queue.resume",
        "worker.drain",
        "worker.pause",
        "worker.resume",
        "key.create",
        "key.revoke",
        "webhook_secret.rotate",
    ]


def test_what_was_refused_is_not_noted(client, database, job_id) -> None:
    with database.writing() as session:
        claim_job(session, job_id, worker="w", weights={}, lease_s=20)
    assert client.delete(f"/v1/jobs/{job_id}").status_code == 409
    assert client.post("/v1/workers/nobody/drain").status_code == 404
    assert client.delete("/v1/keys/0").status_code == 404
    assert actions(client) == []


def test_the_log_is_filtered_and_paged(app, client, database, job_id) -> None:
    other = client_with(app, add_key(database))
    for each in (client, other, client):
        each.post("/v1/queue/pause")
    client.post(f"/v1/jobs/{job_id}/cancel")
    mine = client.get("/v1/audit").json["entries"][0]["key_id"]
    assert actions(client, f"?key_id={mine}") == ["job.cancel", "queue.pause", "queue.pause"]
    assert actions(client, "?action=job.cancel") == ["job.cancel"]
    assert actions(client, "?before=2020-01-01T00:00:00Z") == []
    assert len(actions(client, "?after=2020-01-01T00:00:00Z")) == 4
    first = client.get("/v1/audit?action=queue.pause&limit=2")
    second = client.get(first.headers["Link"].split(";")[0].strip("<>"))
    assert (len(first.json["entries"]), len(second.json["entries"]), second.json["next_cursor"]) == (2, 1, None)


@pytest.mark.parametrize("query", ["after=now", "before=2020", "cursor=x", "limit=0"])
def test_a_bound_of_the_log_that_is_none_is_refused(client, query) -> None:
    assert client.get(f"/v1/audit?{query}").json["code"] == "invalid_params"


def test_what_is_done_to_batches_is_noted(client, database) -> None:
    batch_id = add_batch(database)
    for verb in ("start", "pause", "resume", "cancel"):
        assert client.post(f"/v1/batches/{batch_id}/{verb}").status_code == 200
    assert actions(client)[::-1] == ["batch.pause", "batch.resume", "batch.cancel"]


def test_what_is_changed_of_a_batch_and_tried_again_is_noted(client, database) -> None:
    batch_id = add_batch(database, state=BatchState.RUNNING)
    failing = add_items(database, batch_id, 2)
    with database.writing() as session:
        session.execute(update(Job).where(Job.id.in_(failing)).values(state="failed", error_code="diverged"))
    client.patch(f"/v1/batches/{batch_id}", json={"max_parallel": 4})
    client.post(f"/v1/batches/{batch_id}/retry-failed")
    retried, changed = client.get("/v1/audit").json["entries"]
    assert (changed["action"], changed["details"]) == ("batch.change", {"max_parallel": 4})
    assert (retried["action"], retried["subject"], retried["count"]) == ("batch.retry_failed", batch_id, 2)
