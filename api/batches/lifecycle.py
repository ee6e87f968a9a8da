"""The commands on batches: open, fill a matrix, start, pause, resume, cancel, change, retry, promote.

`api.batches.ingest` adds items. Invariant: a batch's state is one row, so a command has taken effect when it returns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

from pydantic import ValidationError
from sqlalchemy.orm import Session

from api.access import Caller
from api.batches.ingest import BatchIngest
from api.batches.report import Candidate
from api.http import problems
from api.http.problems import invalid
from api.jobs import checks, submit
from api.jobs.submission import Submission
from api.schemas.batches import MAX_CELLS, BatchChange, BatchRequest, MatrixRequest, PromoteRequest, cell_key
from api.schemas.jobs import JobRequest, StyleChoice
from api.services import Services
from api.usecases.webhooks import check_webhook
from shared import logs
from shared.db import images
from shared.db.admin import audit
from shared.db.base import Database
from shared.db.batches import items, lifecycle
from shared.db.jobs import queries
from shared.db.models import Batch
from shared.errors import IllegalTransition, UnknownImage
from shared.messaging.dispatch import Dispatcher
from shared.painting.params import resolve
from shared.states import BatchState

log = logs.get(__name__)

#: Called in the transaction that opens a batch, to store something beside it.
Note = Callable[[Session, Batch], None]
#: The audit log's name of each transition of a batch that was started.
_AUDITED = {
    BatchState.RUNNING: "batch.resume",
    BatchState.PAUSED: "batch.pause",
    BatchState.CANCELED: "batch.cancel",
}
#: Default long side of a matrix's pictures, in pixels.
_CELL_PX = 256


def open_batch(services: Services, caller: Caller, asked: BatchRequest, note: Note) -> Batch:
    """Create an open batch; raise `InvalidParams`, `UnknownImage`, `ForbiddenUrl` or `InvalidMask`."""
    most_s = submit.most_retention_s(services, caller)
    submit.check_limits(services, caller, asked.time_limit_s, asked.retention_s)
    if asked.webhook is not None:
        check_webhook(services, asked.webhook)
    params = dict(asked.params)
    if asked.matrix is not None:
        params = {"size": _CELL_PX, **params}
        _check_cells(asked.matrix)
    _resolved(asked.preset.value, params)
    styles = asked.style_choices()
    for number, style in enumerate(styles):
        if style.mask:
            checks.check_mask_paints(services, f"/styles/{number}/mask", style.mask)
    batch = Batch(
        owner=caller.owner,
        preset=asked.preset.value,
        params=params,
        styles=[style.model_dump(exclude_none=True) for style in styles],
        weights_wanted=asked.weights_wanted(),
        matrix=asked.matrix.model_dump(mode="json") if asked.matrix else None,
        priority=asked.priority,
        max_parallel=asked.max_parallel,
        reuse=asked.reuse,
        label=asked.label,
        annotations=asked.metadata,
        webhook=asked.webhook,
        retention_s=asked.retention_s or most_s,
        time_limit_s=asked.time_limit_s,
    )
    with services.database.writing("open_batch") as session:
        _use(session, caller, _image_ids(asked, styles))
        lifecycle.create(session, batch)
        note(session, batch)
    log.info("batch_opened", batch_id=batch.id, preset=batch.preset)
    return batch


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


def change(database: Database, dispatcher: Dispatcher, caller: Caller, batch_id: str, asked: BatchChange) -> None:
    """Set the fields that `asked` names; raise `NotFound`."""
    with database.writing("change_batch") as session:
        batch = lifecycle.lock_batch(session, batch_id, owner=caller.sees)
        for name in asked.model_fields_set:
            setattr(batch, name, getattr(asked, name))
        audit.record(session, caller, "batch.change", batch_id, details=asked.model_dump(exclude_unset=True))
    dispatcher.nudge()


def retry_failed(database: Database, dispatcher: Dispatcher, caller: Caller, batch_id: str) -> int:
    """Retry the items that failed or expired; return how many. Raises `NotFound` or `IllegalTransition`."""
    total = 0
    while True:
        with database.writing("retry_failed") as session:
            count = items.retry_failed(session, lifecycle.lock_batch(session, batch_id, owner=caller.sees))
            if count:
                audit.record(session, caller, "batch.retry_failed", batch_id, count=count)
        total += count
        if not count:
            break
    log.info("batch_retried", batch_id=batch_id, count=total)
    dispatcher.nudge()
    return total


def promotion(database: Database, caller: Caller, batch_id: str, asked: PromoteRequest) -> Submission:
    """Build the submission that paints one item at another size; raise `NotFound`."""
    with database.reading() as session:
        batch = lifecycle.get_batch(session, batch_id, owner=caller.sees)
        item = items.get_item(session, batch_id, asked.key)
    params = {**item.params, **asked.params, "size": asked.size}
    request = JobRequest(
        content=item.content_id,
        styles=[StyleChoice(**style) for style in item.styles],
        preset=item.preset,
        params=params,
        weights=batch.weights_wanted,
        label=batch.label,
        metadata={"batch_id": batch_id, "key": asked.key},
    )
    return Submission(caller, request, _resolved(item.preset, params))


def _resolved(preset: str, params: dict[str, Any]) -> Any:
    try:
        return resolve(preset, params)
    except ValidationError as error:
        raise invalid(error, at="/params") from None


def _image_ids(asked: BatchRequest, styles: list[StyleChoice]) -> set[str]:
    named = {image for style in styles for image in (style.image, style.mask) if image}
    return named | (set(asked.matrix.contents) | set(asked.matrix.styles) if asked.matrix else set())


def _use(session: Session, caller: Caller, image_ids: set[str]) -> None:
    """Mark images as used; raise `UnknownImage` for one that the caller does not see."""
    unseen = sorted(image_ids - set(queries.get_images(session, image_ids, owner=caller.sees)))
    if unseen:
        raise UnknownImage(f"No image {unseen[0]} has been uploaded.", images=unseen)
    images.use(session, image_ids)


def _check_cells(matrix: MatrixRequest) -> None:
    count = len(matrix.contents) * len(matrix.styles)
    for values in matrix.params.values():
        count *= len(values)
    if count > MAX_CELLS:
        raise problems.mistake(
            "/matrix", f"The matrix has {count} cells; at most {MAX_CELLS} are allowed.", le=MAX_CELLS
        )


def _cells(matrix: MatrixRequest) -> Iterator[Candidate]:
    """Yield each cell as an item; `c1-s2-p3` is the first content, second style and third combination of values."""
    names = list(matrix.params)
    combinations = [dict(zip(names, values, strict=True)) for values in product(*matrix.params.values())]
    cells = product(enumerate(matrix.contents), enumerate(matrix.styles), enumerate(combinations))
    for line, ((row, content), (column, style), (number, params)) in enumerate(cells, 1):
        key = cell_key(row, column, number if names else None)
        yield Candidate(line, key, {"key": key, "content": content, "styles": [{"image": style}], "params": params})
