"""The life of a batch: opened, filled, run, paused, canceled, finished; its items are `shared.db.batches.items`'s.

One row says what holds for all of them: dispatch and claims ask for the batch's state, so that pausing or canceling a
hundred thousand items is one write, in force at once. Each change is one of `BATCH_TRANSITIONS`.

Invariant: whoever adds items, or finds that none is left, has the batch's row locked: no batch finishes while it grows.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import delete, exists, func, or_, select, update
from sqlalchemy.orm import Session

from shared import clock, ids
from shared.db import deliveries, sql_clock
from shared.db.batches import counts as batch_counts
from shared.db.models import Batch, BatchMove, Job
from shared.errors import IllegalTransition, NotFound
from shared.states import BATCH_TRANSITIONS, BatchState, State

#: What ends once no item is left.
_ENDING = (BatchState.RUNNING, BatchState.CANCELED)
#: Batches looked at in one pass of a chore.
_AT_ONCE = 100


class Filter(NamedTuple):
    """Which batches to list; None is any."""

    owner: str | None = None
    state: BatchState | None = None
    label: str | None = None


def create(session: Session, batch: Batch) -> None:
    """Open a batch: nothing → open."""
    batch.id, batch.state, batch.created_at = ids.new_id(), BatchState.OPEN, clock.now()
    session.add(batch)
    session.flush()


def get_batch(session: Session, batch_id: str, *, owner: str | None = None) -> Batch:
    """Return a batch; raise `NotFound`, also for one that is not its `owner`'s."""
    return _found(session.get(Batch, batch_id), batch_id, owner)


def lock_batch(session: Session, batch_id: str, *, owner: str | None = None) -> Batch:
    """Return a batch and let nobody else change it before this transaction ends; raise `NotFound`."""
    found = select(Batch).where(Batch.id == batch_id).with_for_update(key_share=True)
    return _found(session.scalars(found.execution_options(populate_existing=True)).one_or_none(), batch_id, owner)


def transition(session: Session, found: Batch, to: BatchState) -> None:
    """Bring a locked batch to another state; where it is there already, nothing happens. Raises `IllegalTransition`."""
    if found.state == to:
        return
    if to not in BATCH_TRANSITIONS[BatchState(found.state)]:
        raise IllegalTransition(f"The batch is {found.state} and cannot become {to}.", state=found.state)
    found.state = to
    found.ended_at = clock.now() if to == BatchState.FINISHED else None
    if to == BatchState.RUNNING:
        found.started_at = found.started_at or clock.now()
        _send_again(session, found.id)
    session.flush()


def list_batches(session: Session, wanted: Filter, *, before: str | None, limit: int) -> list[Batch]:
    """Return up to `limit` batches, newest first, those further back than the id `before`."""
    query = select(Batch).order_by(Batch.id.desc()).limit(limit)
    if wanted.owner is not None:
        query = query.where(Batch.owner == wanted.owner)
    if wanted.state is not None:
        query = query.where(Batch.state == wanted.state)
    if wanted.label is not None:
        query = query.where(Batch.label == wanted.label)
    if before is not None:
        query = query.where(Batch.id < before)
    return list(session.scalars(query))


def ended_lately(session: Session, batch_id: str, seconds: float, *, most: int = 20_000) -> int:
    """Count the items that ended within so many seconds; beyond `most` jobs of anybody it stops looking."""
    ended = select(Job.batch_id).where(Job.ended_at > sql_clock.now_plus(-seconds)).order_by(Job.ended_at.desc())
    lately = ended.limit(most).subquery()
    return session.scalar(select(func.count()).select_from(lately).where(lately.c.batch_id == batch_id)) or 0


def has_work(session: Session) -> bool:
    """Say whether there is anything to count, to cancel or to end."""
    unended = exists().where(Batch.state.in_(_ENDING), Batch.ended_at.is_(None))
    return bool(session.scalar(select(or_(exists().select_from(BatchMove), unended))))


def settle(session: Session) -> list[tuple[str, BatchState]]:
    """End the batches of which no item is left to be painted, and have it told; return them and their states."""
    empty = (Batch.queued <= 0, Batch.running <= 0, Batch.ended_at.is_(None))
    candidates = list(
        session.scalars(select(Batch.id).where(Batch.state.in_(_ENDING), *empty).order_by(Batch.id).limit(_AT_ONCE))
    )
    return [(batch_id, state) for batch_id in candidates if (state := _settled(session, batch_id))]


def forget(session: Session, *, history_s: float) -> list[str]:
    """Delete batches that ended that long ago and have no item any more."""
    old = select(Batch.id).where(Batch.ended_at <= sql_clock.now_plus(-history_s))
    old = old.where(~exists().where(Job.batch_id == Batch.id)).limit(_AT_ONCE)
    found = list(session.scalars(old.with_for_update(skip_locked=True)))
    if found:
        session.execute(delete(Batch).where(Batch.id.in_(found)))
    return found


def _settled(session: Session, batch_id: str) -> BatchState | None:
    found = lock_batch(session, batch_id)
    counts = batch_counts.count_items(session, [found])[batch_id]
    unended = found.ended_at is None and found.state in _ENDING
    if not unended or counts[State.QUEUED] or counts[State.RUNNING]:
        return None
    if found.state == BatchState.RUNNING and not sum(counts.values()):
        return None  # nothing was added yet
    if found.state == BatchState.RUNNING:
        transition(session, found, BatchState.FINISHED)
    found.ended_at = clock.now()
    session.flush()
    if found.webhook:
        deliveries.add(session, found.owner, found.webhook, f"batch.{found.state}", batch_id)
    return BatchState(found.state)


def _send_again(session: Session, batch_id: str) -> None:
    """Have items sent at once whose messages workers refused meanwhile."""
    sent = update(Job).where(Job.dispatched_at.is_not(None), Job.queue_key == batch_id)
    session.execute(sent.values(dispatched_at=None).execution_options(synchronize_session=False))


def _found(found: Batch | None, batch_id: str, owner: str | None) -> Batch:
    if found is None or owner not in (None, found.owner):
        raise NotFound(f"There is no batch {batch_id}.")
    return found
