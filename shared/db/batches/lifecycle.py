"""The lifecycle of a batch; its items are in `shared.db.batches.items`.

Dispatch and claims check the batch's state, so that pausing or canceling a hundred thousand items is one write and
takes effect at once.

Invariant: every change of a batch's state is one of `BATCH_TRANSITIONS`. Adding items and ending a batch lock its row,
so no batch ends while it is growing.
"""

from typing import NamedTuple

from sqlalchemy import exists, func, or_, select, update
from sqlalchemy.orm import Session

from shared import clock, ids
from shared.db import deliveries, sql_clock
from shared.db.batches import counts as batch_counts
from shared.db.lookups import delete_some, equal, list_newest, visible
from shared.db.models import Batch, BatchMove, Job
from shared.errors import IllegalTransition
from shared.states import BATCH_TRANSITIONS, BatchState, State

#: States in which a batch ends once all of its items have.
_ENDING = (BatchState.RUNNING, BatchState.CANCELED)
#: Batches handled in one transaction.
_CHUNK_SIZE = 100


class Filter(NamedTuple):
    """Which batches to list; None matches any."""

    owner: str | None = None
    state: BatchState | None = None
    label: str | None = None


def create(session: Session, batch: Batch) -> None:
    """Insert a batch: nothing → open."""
    batch.id, batch.state, batch.created_at = ids.new_id(), BatchState.OPEN, clock.now()
    session.add(batch)
    session.flush()


def discard_if_empty(session: Session, found: Batch) -> bool:
    """Delete a locked batch that is open and without items; return whether it was."""
    counted = batch_counts.count_items(session, [found])[found.id]
    is_empty = found.state == BatchState.OPEN and not sum(counted.values())
    if is_empty:
        session.delete(found)
        session.flush()
    return is_empty


def get_batch(session: Session, batch_id: str, *, owner: str | None = None) -> Batch:
    """Return a batch, `owner`'s if given; raise `NotFound`."""
    return visible(session.get(Batch, batch_id), f"batch {batch_id}", owner)


def lock_batch(session: Session, batch_id: str, *, owner: str | None = None) -> Batch:
    """Return a batch, `owner`'s if given, locked until the transaction ends; raise `NotFound`."""
    locked = select(Batch).where(Batch.id == batch_id).with_for_update(key_share=True)
    found = session.scalars(locked.execution_options(populate_existing=True)).one_or_none()
    return visible(found, f"batch {batch_id}", owner)


def transition(session: Session, found: Batch, to: BatchState) -> None:
    """Change the state of a locked batch, unless it is in that state already; raise `IllegalTransition`."""
    if found.state == to:
        return
    if to not in BATCH_TRANSITIONS[BatchState(found.state)]:
        raise IllegalTransition(f"The batch is {found.state} and cannot become {to}.", state=found.state)
    found.state = to
    found.ended_at = clock.now() if to == BatchState.FINISHED else None
    if to == BatchState.RUNNING:
        found.started_at = found.started_at or clock.now()
        # items whose messages workers have dropped while the batch was paused become due at once
        sent = update(Job).where(Job.dispatched_at.is_not(None), Job.queue_key == found.id)
        session.execute(sent.values(dispatched_at=None).execution_options(synchronize_session=False))
    session.flush()


def list_batches(session: Session, wanted: Filter, *, before: str | None, limit: int) -> list[Batch]:
    """Return up to `limit` batches, newest first, with ids below `before`."""
    where = equal({Batch.owner: wanted.owner, Batch.state: wanted.state, Batch.label: wanted.label})
    return list_newest(session, Batch, *where, before=before, limit=limit)


def count_recently_ended(session: Session, batch_id: str, seconds: float, *, most: int = 20_000) -> int:
    """Count the items that ended in the last `seconds`, among the `most` jobs that ended last."""
    ended = select(Job.batch_id).where(Job.ended_at > sql_clock.now_plus(-seconds)).order_by(Job.ended_at.desc())
    recent = ended.limit(most).subquery()
    return session.scalar(select(func.count()).select_from(recent).where(recent.c.batch_id == batch_id)) or 0


def has_work(session: Session) -> bool:
    """Return whether there are moves to fold or batches that may have to be canceled or ended."""
    unended = exists().where(Batch.state.in_(_ENDING), Batch.ended_at.is_(None))
    return bool(session.scalar(select(or_(exists().select_from(BatchMove), unended))))


def end_completed(session: Session) -> list[tuple[str, BatchState]]:
    """End the batches whose items have all ended, and queue their webhooks; return their ids and states.

    One that was started without items ends too; it runs again as soon as it has some.
    """
    empty = (Batch.queued <= 0, Batch.running <= 0, Batch.ended_at.is_(None))
    candidates = list(
        session.scalars(select(Batch.id).where(Batch.state.in_(_ENDING), *empty).order_by(Batch.id).limit(_CHUNK_SIZE))
    )
    return [(batch_id, state) for batch_id in candidates if (state := _end_if_completed(session, batch_id))]


def forget(session: Session, *, history_s: float) -> list[str]:
    """Delete batches that ended more than `history_s` ago and have no items left; return which."""
    is_empty = ~exists().where(Job.batch_id == Batch.id)
    is_old = Batch.ended_at <= sql_clock.now_plus(-history_s)
    return delete_some(session, Batch.id, is_old, is_empty, limit=_CHUNK_SIZE)


def _end_if_completed(session: Session, batch_id: str) -> BatchState | None:
    found = lock_batch(session, batch_id)
    counts = batch_counts.count_items(session, [found])[batch_id]
    unended = found.ended_at is None and found.state in _ENDING
    if not unended or counts[State.QUEUED] or counts[State.RUNNING]:
        return None
    if found.state == BatchState.RUNNING:
        transition(session, found, BatchState.FINISHED)
    found.ended_at = clock.now()
    session.flush()
    if found.webhook:
        deliveries.add(session, found.owner, found.webhook, f"batch.{found.state}", batch_id)
    return BatchState(found.state)
