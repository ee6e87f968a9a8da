"""Requests about batches, and their items painted without a worker."""

import json

from shared.db.batches import counts, lifecycle
from shared.db.jobs import transitions
from tests.support.claims import claim_job

LINES = "application/x-ndjson"


def lines(*items: object) -> bytes:
    return b"".join(json.dumps(item).encode() + b"\n" for item in items)


def add(client, batch, *items: object) -> dict:
    answer = client.post(f"/v1/batches/{batch['id']}/items", data=lines(*items), content_type=LINES)
    assert answer.status_code == 200, answer.json
    return answer.json


def show(client, batch) -> dict:
    return client.get(f"/v1/batches/{batch['id']}").json


def steer(client, batch, way: str) -> tuple[int, dict]:
    answer = client.post(f"/v1/batches/{batch['id']}/{way}")
    return answer.status_code, answer.json


def paint(database, job_id: str, *, error: Exception | None = None) -> None:
    with database.writing() as session:
        claim = claim_job(session, job_id, worker="w", weights={}, lease_s=20)
        if error:
            transitions.fail(session, claim, error)
        else:
            transitions.succeed(
                session, claim, result={"width": 1, "height": 1, "bytes": 1, "format": "png", "partial": False}
            )
    with database.writing() as session:
        counts.fold(session)
        lifecycle.end_completed(session)
