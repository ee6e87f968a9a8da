"""The payloads of webhooks, built when they are sent. Receivers rely on each field: add fields, but rename none."""

from typing import Any

from sqlalchemy.orm import Session

from shared import clock
from shared.db.batches.counts import stored_counts
from shared.db.deliveries import ClaimedDelivery
from shared.db.models import Batch, Job
from shared.painting.results import facts_of


def payload_of(session: Session, claimed: ClaimedDelivery, public_url: str = "") -> dict[str, Any]:
    """Return the payload of a delivery: a summary of its job or batch, or only id and state if that is deleted.

    Its links begin with `public_url`.
    """
    if claimed.event.startswith("batch.") and (batch := session.get(Batch, claimed.subject_id)):
        path = f"{public_url}/v1/batches/{batch.id}"
        links = {"self": path, "items": f"{path}/items", "results": f"{path}/results.jsonl"}
        return _payload(batch, batch.state, links, counts=stored_counts(batch))
    job = session.get(Job, claimed.subject_id) if claimed.subject_id else None
    state = claimed.event.partition(".")[2]
    if job is None:
        return {"id": claimed.subject_id, "state": state} if claimed.subject_id else {}
    result = facts_of(job.result) if job.result else None
    error = {"code": job.error_code, "message": job.error_message} if job.error_code else None
    path = f"{public_url}/v1/jobs/{job.id}"
    links = {"self": path, **({"result": f"{path}/result"} if result else {})}
    return _payload(job, state, links, retry_of=job.retry_of, error=error, result=result)


def _payload(subject: Job | Batch, state: str, links: dict[str, str], **further: Any) -> dict[str, Any]:
    return {
        "id": subject.id,
        "state": state,
        "owner": subject.owner,
        "label": subject.label,
        "metadata": subject.annotations,
        **further,
        "created_at": clock.rfc3339(subject.created_at),
        "ended_at": clock.rfc3339(subject.ended_at),
        "links": links,
    }
