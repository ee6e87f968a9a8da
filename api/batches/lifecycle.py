"""What a client can do with batches: open, steer, try again, promote. No HTTP here; items come by `api.batches.ingest`.

Invariant: a batch's state is one row's, so that what is asked here is in force when it is answered.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from pydantic import ValidationError
from sqlalchemy.orm import Session

from api.access import Caller
from api.batches.ingest import Intake
from api.batches.report import Offer
from api.http import problems
from api.http.problems import invalid
from api.jobs import checks
from api.jobs.submit import Submission
from api.schemas.batches import MAX_CELLS, BatchChange, BatchRequest, MatrixRequest, PromoteRequest, cell_key
from api.schemas.jobs import JobRequest, StyleChoice
from api.services import Services
from shared import logs
from shared.db import images
from shared.db.admin import audit
from shared.db.base import on_commit
from shared.db.batches import items, lifecycle
from shared.db.jobs import queries
from shared.db.models import Batch
from shared.errors import IllegalTransition, UnknownImage
from shared.painting.params import resolve
from shared.states import BatchState

log = logs.get(__name__)

#: What the audit log calls it when a batch that was begun is brought to another state.
_STEERED = {
    BatchState.RUNNING: "batch.resume",
    BatchState.PAUSED: "batch.pause",
    BatchState.CANCELED: "batch.cancel",
}
#: Long side of a matrix's pictures where nothing else is said, in pixels.
_CELL_PX = 256


def new_batch(services: Services, caller: Caller, asked: BatchRequest) -> Batch:
    """Check a batch and make it; raise `InvalidParams`, `UnknownImage`, `ForbiddenUrl` or `InvalidMask`."""
    checks.check_limits(services.settings, caller, asked.time_limit_s, asked.retention_s)
    if asked.webhook is not None:
        checks.check_webhook(services.settings, asked.webhook)
    params = dict(asked.params)
    if asked.matrix is not None:
        params = {"size": _CELL_PX, **params}
        _check_cells(asked.matrix)
    _resolved(asked.preset.value, params)
    styles = asked.style_choices()
    _check_masks(services, styles)
    return Batch(
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
        retention_s=asked.retention_s or checks.max_retention_s(services.settings, caller),
        time_limit_s=asked.time_limit_s,
    )


def open_batch(session: Session, caller: Caller, batch: Batch) -> None:
    """Open a batch that `new_batch` made: nothing → open. Raises `UnknownImage`."""
    _use(session, caller, _pictures(batch))
    lifecycle.create(session, batch)
    on_commit(session, log.info, "batch_opened", batch_id=batch.id, preset=batch.preset)


def fill_matrix(services: Services, caller: Caller, batch_id: str, matrix: MatrixRequest) -> None:
    """Add the cells of a matrix and start it; doing it again adds what is missing. Raises what an intake does."""
    tally = Intake(services, caller, batch_id).take(_cells(matrix))
    if tally.mistakes:
        raise tally.mistakes[0].error
    steer(services, caller, batch_id, BatchState.RUNNING)


def steer(
    services: Services, caller: Caller, batch_id: str, to: BatchState, *, only_from: BatchState | None = None
) -> None:
    """Bring a batch to another state, where it may be already; raise `NotFound` or `IllegalTransition`."""
    with services.database.writing("steer_batch") as session:
        batch = lifecycle.lock_batch(session, batch_id, owner=caller.sees)
        if only_from is not None and batch.state not in (only_from, to):
            raise IllegalTransition(f"The batch is {batch.state}, not {only_from}.", state=batch.state)
        was = batch.state
        lifecycle.transition(session, batch, to)
        is_start = was == BatchState.OPEN and to == BatchState.RUNNING  # which is to submit it
        if was != to and not is_start:
            audit.record(session, caller, _STEERED[to], batch_id)
    log.info("batch_steered", batch_id=batch_id, state=to)
    services.dispatcher.nudge()


def change(services: Services, caller: Caller, batch_id: str, asked: BatchChange) -> None:
    """Change what may be changed; raise `NotFound`."""
    with services.database.writing("change_batch") as session:
        batch = lifecycle.lock_batch(session, batch_id, owner=caller.sees)
        for name in asked.model_fields_set:
            setattr(batch, name, getattr(asked, name))
        audit.record(session, caller, "batch.change", batch_id, details=asked.model_dump(exclude_unset=True))
    services.dispatcher.nudge()


def retry_failed(services: Services, caller: Caller, batch_id: str) -> int:
    """Try again what failed or expired; return how many items. Raises `NotFound` or `IllegalTransition`."""
    total = 0
    while True:
        with services.database.writing("retry_failed") as session:
            count = items.retry_failed(session, lifecycle.lock_batch(session, batch_id, owner=caller.sees))
            if count:
                audit.record(session, caller, "batch.retry_failed", batch_id, count=count)
        total += count
        if not count:
            break
    log.info("batch_retried", batch_id=batch_id, count=total)
    services.dispatcher.nudge()
    return total


def promotion(services: Services, caller: Caller, batch_id: str, asked: PromoteRequest) -> Submission:
    """Make the submission of one item painted for good; raise `NotFound`."""
    with services.database.reading() as session:
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


def _check_masks(services: Services, styles: list[StyleChoice]) -> None:
    for number, style in enumerate(styles):
        if style.mask:
            max_px = services.settings.max_upload_px
            checks.check_mask_paints(services.store, f"/styles/{number}/mask", style.mask, max_px=max_px)


def _pictures(batch: Batch) -> set[str]:
    named = {style[part] for style in batch.styles for part in ("image", "mask") if style.get(part)}
    return named | ({*batch.matrix["contents"], *batch.matrix["styles"]} if batch.matrix else set())


def _use(session: Session, caller: Caller, image_ids: set[str]) -> None:
    """Note that pictures are used; raise `UnknownImage` for those that the caller does not see."""
    unseen = sorted(image_ids - set(queries.get_images(session, image_ids, owner=caller.sees)))
    if unseen:
        raise UnknownImage(f"No image {unseen[0]} has been uploaded.", images=unseen)
    images.record_use(session, image_ids)


def _check_cells(matrix: MatrixRequest) -> None:
    count = len(matrix.contents) * len(matrix.styles)
    for values in matrix.params.values():
        count *= len(values)
    if count > MAX_CELLS:
        raise problems.pointed_error("/matrix", f"That are {count} pictures, and {MAX_CELLS} may be.", le=MAX_CELLS)


def _cells(matrix: MatrixRequest) -> Iterator[Offer]:
    """Write each cell as an item; `c1-s2-p3` is the first content in the second style with the third values."""
    names = list(matrix.params)
    tried = [dict(zip(names, values, strict=True)) for values in product(*matrix.params.values())]
    cells = product(enumerate(matrix.contents), enumerate(matrix.styles), enumerate(tried))
    for line, ((row, content), (column, style), (number, params)) in enumerate(cells, 1):
        key = cell_key(row, column, number if names else None)
        yield Offer(line, key, {"key": key, "content": content, "styles": [{"image": style}], "params": params})
