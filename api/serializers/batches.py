"""What clients see of batches and their results."""

from collections.abc import Mapping, Sequence

from sqlalchemy.orm import Session

from api.schemas import batches as schemas
from api.serializers.jobs import serialize_error, serialize_result
from api.serializers.rows import serialize
from shared.db.batches import counts as batch_counts
from shared.db.batches import lifecycle
from shared.db.models import Batch, Job
from shared.states import BATCH_TRANSITIONS, BatchState, State

#: The window over which the rate is measured, in seconds.
_RATE_WINDOW_S = 60.0
#: The action that leads to each state.
_ACTIONS = {BatchState.RUNNING: "resume", BatchState.PAUSED: "pause", BatchState.CANCELED: "cancel"}


def serialize_batches(session: Session, found: Sequence[Batch]) -> list[schemas.BatchView]:
    """Serialize batches with exact counts, as of this transaction."""
    counts = batch_counts.count_items(session, found)
    return [_batch(session, batch, counts[batch.id]) for batch in found]


def serialize_batch(session: Session, batch: Batch) -> schemas.BatchView:
    """Serialize a batch with exact counts, as of this transaction."""
    return serialize_batches(session, [batch])[0]


def serialize_item_result(number: int, job: Job) -> schemas.ItemResultView:
    """Serialize an item that has ended, as a numbered line of the results feed."""
    path = f"/v1/jobs/{job.id}"
    links = {"job": path}
    if job.result and job.files_gone_at is None:
        links["result"] = f"{path}/result"
    return serialize(
        schemas.ItemResultView,
        job,
        number=number,
        key=job.item_key,
        job_id=job.id,
        content=job.content_id,
        result=serialize_result(job),
        error=serialize_error(job),
        links=links,
    )


def _batch(session: Session, batch: Batch, counts: Mapping[State, int]) -> schemas.BatchView:
    left = counts[State.QUEUED] + counts[State.RUNNING]
    rate = None
    if batch.state == BatchState.RUNNING and left:
        rate = lifecycle.count_recently_ended(session, batch.id, _RATE_WINDOW_S) * 60 / _RATE_WINDOW_S
    totals = {"total": sum(counts.values()), "reused": batch.reused, **{str(state): counts[state] for state in State}}
    return serialize(
        schemas.BatchView,
        batch,
        weights={"name": batch.weights_wanted} if batch.weights_wanted else None,
        metadata=batch.annotations,
        counts=totals,
        rate_per_min=rate,
        eta_s=round(left * 60 / rate, 1) if rate else None,
        links=_links(batch, counts),
    )


def _links(batch: Batch, counts: Mapping[State, int]) -> dict[str, str]:
    path = f"/v1/batches/{batch.id}"
    links = {"self": path, "items": f"{path}/items", "results": f"{path}/results.jsonl"}
    links["archive"] = f"{path}/archive.zip"
    if batch.matrix:
        links |= {"sheet": f"{path}/sheet.webp", "promote": f"{path}/promote"}
    for state in BATCH_TRANSITIONS[BatchState(batch.state)] & set(_ACTIONS):
        if not (state == BatchState.RUNNING and batch.state != BatchState.PAUSED):
            links[_ACTIONS[state]] = f"{path}/{_ACTIONS[state]}"
    if batch.state == BatchState.OPEN:
        links["start"] = f"{path}/start"
    if batch.state != BatchState.CANCELED and counts[State.FAILED] + counts[State.EXPIRED]:
        links["retry_failed"] = f"{path}/retry-failed"
    return links
