"""The payloads of webhooks, built when they are sent."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from shared import clock
from shared.db.batches.counts import stored_counts
from shared.db.deliveries import ClaimedDelivery
from shared.db.models import RESULT_SUMMARY, Batch, Job


def payload_of(session: Session, claimed: ClaimedDelivery) -> dict[str, Any]:
    """Return the payload of a delivery: a summary of its job or batch, or only id and state if that is deleted."""
    if claimed.event.startswith("batch.") and (batch := session.get(Batch, claimed.subject_id)):
        return _batch_payload(batch)
    job = session.get(Job, claimed.subject_id) if claimed.subject_id else None
    state = claimed.event.partition(".")[2]
    if job is None:
        return {"id": claimed.subject_id, "state": state} if claimed.subject_id else {}
    result = {name: job.result[name] for name in RESULT_SUMMARY} if job.result else None
    error = {"code": job.error_code, "message": job.error_message} if job.error_code else None
    path = f"/v1/jobs/{job.id}"
    return {
        "id": job.id,
        "state": state,
        "owner": job.owner,
        "label": job.label,
        "metadata": job.annotations,
        "retry_of": job.retry_of,
        "error": error,
        "result": result,
        "created_at": clock.rfc3339(job.created_at),
        "ended_at": clock.rfc3339(job.ended_at),
        "links": {"self": path, **({"result": f"{path}/result"} if result else {})},
    }


def _batch_payload(batch: Batch) -> dict[str, Any]:
    path = f"/v1/batches/{batch.id}"
    return {
        "id": batch.id,
        "state": batch.state,
        "owner": batch.owner,
        "label": batch.label,
        "metadata": batch.annotations,
        "counts": stored_counts(batch),
        "created_at": clock.rfc3339(batch.created_at),
        "ended_at": clock.rfc3339(batch.ended_at),
        "links": {"self": path, "items": f"{path}/items", "results": f"{path}/results.jsonl"},
    }
