"""The commands on batches: open, fill a matrix, start, pause, resume, cancel, change, retry, promote.

`api.batches.ingest` adds items. Invariant: a batch's state is one row, so a command has taken effect when it returns.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import product
from typing import Any

from sqlalchemy.orm import Session

from api.access import Caller
from api.batches.ingest import BatchIngest
from api.batches.report import Candidate
from api.http.idempotency import Once
from api.http.problems import pointed_error
from api.jobs import checks
from api.jobs.submit import Submission
from api.schemas.batches import MAX_CELLS, BatchChange, BatchRequest, MatrixRequest, PromoteRequest, cell_key
from api.schemas.jobs import JobRequest, StyleChoice
from api.serializers.jobs import photograph_name
from shared import logs
from shared.db import images
from shared.db.admin import audit
from shared.db.base import Database, on_commit
from shared.db.batches import items, lifecycle
from shared.db.jobs import queries
from shared.db.models import Batch
from shared.errors import IllegalTransition, NotFound, QuotaExceeded, UnknownImage
from shared.imaging.decoders.pool import Decoders
from shared.messaging.dispatch import Dispatcher
from shared.settings import Settings
from shared.states import BatchState
from shared.storage.store import ImageStore

log = logs.get(__name__)

#: The audit log's name of each transition of a batch that was started.
_AUDITED = {BatchState.RUNNING: "batch.resume", BatchState.PAUSED: "batch.pause", BatchState.CANCELED: "batch.cancel"}
#: Default long side of a matrix's pictures, in pixels.
_CELL_PX = 256


def new_batch(
    settings: Settings, store: ImageStore, decoders: Decoders, caller: Caller, request: BatchRequest
) -> Batch:
    """Validate a request and build its batch.

    Raises `InvalidParams`, `UnknownImage`, `ForbiddenUrl` or `InvalidMask`.
    """
    checks.check_limits(settings, caller, request.time_limit_s, request.retention_s)
    checks.check_priority(caller, request.priority)
    if request.webhook is not None:
        checks.check_webhook(settings, request.webhook)
    params = dict(request.params)
    if request.matrix is not None:
        params = {"size": _CELL_PX, **params}
        _check_cells(request.matrix)
    for own in _combinations(request.matrix) if request.matrix else [{}]:
        checks.resolve_params(request.preset.value, {**params, **own})
    styles = request.style_choices()
    for number, style in enumerate(styles):
        if style.mask:
            checks.check_mask_paints(store, decoders, f"/styles/{number}/mask", style.mask, owner=caller.owner)
    return Batch(
        owner=caller.owner,
        preset=request.preset.value,
        params=params,
        styles=[style.model_dump(exclude_none=True) for style in styles],
        weights_wanted=request.weights_wanted(),
        matrix=request.matrix.model_dump(mode="json") if request.matrix else None,
        annotations=request.metadata,
        retention_s=request.retention_s or checks.max_retention_s(settings, caller),
        **request.model_dump(
            include={"reuse", "priority", "max_parallel", "webhook", "time_limit_s", "label", "depth", "keep_metadata"}
        ),
    )


def open_batch(session: Session, caller: Caller, batch: Batch) -> None:
    """Store a batch that `new_batch` built, as open; raise `UnknownImage`."""
    _use(session, caller, _image_ids(batch))
    lifecycle.create(session, batch)
    on_commit(session, log.info, "batch_opened", batch_id=batch.id, preset=batch.preset)


def discard_empty(database: Database, caller: Caller, batch_id: str, once: Once) -> None:
    """Delete a batch that was opened to be filled, if nothing was added, with the answer that would be repeated."""
    # another request with its idempotency key may have discarded it already
    with suppress(NotFound), database.writing("discard_batch") as session:
        batch = lifecycle.lock_batch(session, batch_id, owner=caller.sees)
        if lifecycle.discard_if_empty(session, batch):
            once.withdraw(session)


def fill_matrix(ingest: BatchIngest, matrix: MatrixRequest) -> None:
    """Add the cells of a matrix that are missing; raise the first rejection, and what `ingest.add` raises."""
    report = ingest.add(_cells(matrix))
    if report.rejections:
        raise report.rejections[0].error


def transition(
    database: Database,
    dispatcher: Dispatcher,
    caller: Caller,
    batch_id: str,
    to: BatchState,
    *,
    only_from: BatchState | None = None,
) -> None:
    """Bring a batch to a state, in which it may be already; raise `NotFound` or `IllegalTransition`.

    `only_from` is the one other state that it may be in before.
    """
    with database.writing("transition_batch") as session:
        batch = lifecycle.lock_batch(session, batch_id, owner=caller.sees)
        if only_from is not None and batch.state not in (only_from, to):
            raise IllegalTransition(f"The batch is {batch.state}, not {only_from}.", state=batch.state)
        was = batch.state
        lifecycle.transition(session, batch, to)
        is_start = was == BatchState.OPEN and to == BatchState.RUNNING  # not audited: like submitting a job
        if was != to and not is_start:
            audit.record(session, caller, _AUDITED[to], batch_id)
    log.info("batch_transitioned", batch_id=batch_id, state=to)
    dispatcher.nudge()


def change(database: Database, dispatcher: Dispatcher, caller: Caller, batch_id: str, request: BatchChange) -> None:
    """Set the fields that `request` names; raise `NotFound`, or `InvalidParams` for a priority that is not allowed."""
    checks.check_priority(caller, request.priority)
    with database.writing("change_batch") as session:
        batch = lifecycle.lock_batch(session, batch_id, owner=caller.sees)
        for name in request.model_fields_set:
            setattr(batch, name, getattr(request, name))
        audit.record(session, caller, "batch.change", batch_id, details=request.model_dump(exclude_unset=True))
    dispatcher.nudge()


def retry_failed(
    database: Database, dispatcher: Dispatcher, caller: Caller, batch_id: str, changes: Mapping[str, Any] | None = None
) -> int:
    """Retry the items that failed or expired, with other values for the attributes in `changes`; return how many.

    Raises `NotFound`, `IllegalTransition`, and `QuotaExceeded`, which says how many were retried before.
    """
    total, count = 0, 1
    try:
        while count:
            count = _retry_some(database, caller, batch_id, changes)
            total += count
    except QuotaExceeded as error:
        error.fields["retried"] = total
        raise
    finally:
        if total:
            dispatcher.nudge()
    log.info("batch_retried", batch_id=batch_id, count=total)
    return total


def _retry_some(database: Database, caller: Caller, batch_id: str, changes: Mapping[str, Any] | None) -> int:
    with database.writing("retry_failed") as session:
        batch = lifecycle.lock_batch(session, batch_id, owner=caller.sees)
        quota = caller.quota_for(session, batch.owner)
        count = items.retry_failed(session, batch, changes, quota=quota)
        if count:
            audit.record(session, caller, "batch.retry_failed", batch_id, count=count, details=dict(changes or {}))
    return count


def promotion(database: Database, caller: Caller, batch_id: str, request: PromoteRequest) -> Submission:
    """Build the submission that paints one item at another size; raise `NotFound`."""
    with database.reading() as session:
        batch = lifecycle.get_batch(session, batch_id, owner=caller.sees)
        item = items.get_item(session, batch_id, request.key)
    params = {**item.params, **request.params, "size": request.size}
    job = JobRequest(
        content=item.content_id,
        styles=[StyleChoice(**style) for style in item.styles],
        preset=item.preset,
        params=params,
        weights=batch.weights_wanted,
        label=batch.label,
        depth=item.depth,
        keep_metadata=item.keep_metadata,
        name=photograph_name(item),
        metadata={"batch_id": batch_id, "key": request.key},
    )
    return Submission(caller, job, checks.resolve_params(item.preset, params), name=job.name)


def _image_ids(batch: Batch) -> set[str]:
    named = {style[part] for style in batch.styles for part in ("image", "mask") if style.get(part)}
    return named | ({*batch.matrix["contents"], *batch.matrix["styles"]} if batch.matrix else set())


def _use(session: Session, caller: Caller, image_ids: set[str]) -> None:
    """Mark images as used; raise `UnknownImage` for one that the caller does not see."""
    unseen = sorted(image_ids - set(queries.get_images(session, image_ids, owner=caller.sees)))
    if unseen:
        raise UnknownImage(f"No image {unseen[0]} has been uploaded.", images=unseen)
    images.record_use(session, image_ids)


def _check_cells(matrix: MatrixRequest) -> None:
    count = len(matrix.contents) * len(matrix.styles)
    for values in matrix.params.values():
        count *= len(values)
    if count > MAX_CELLS:
        raise pointed_error("/matrix", f"The matrix has {count} cells; at most {MAX_CELLS} are allowed.", le=MAX_CELLS)


def _cells(matrix: MatrixRequest) -> Iterator[Candidate]:
    """Yield each cell as an item; `c1-s2-p3` is the first content, second style and third combination of values."""
    cells = product(enumerate(matrix.contents), enumerate(matrix.styles), enumerate(_combinations(matrix)))
    for line, ((row, content), (column, style), (number, params)) in enumerate(cells, 1):
        key = cell_key(row, column, number if matrix.params else None)
        yield Candidate(line, key, {"key": key, "content": content, "styles": [{"image": style}], "params": params})


def _combinations(matrix: MatrixRequest) -> list[dict[str, Any]]:
    """Return every combination of the values to try, by parameter."""
    return [dict(zip(matrix.params, values, strict=True)) for values in product(*matrix.params.values())]
