"""Items in bulk: added, tried again, canceled; a bounded number in each transaction.

Invariant: within a batch a key names one item; the same item added again is the one that is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import String, cast, func, insert, literal, select, true, union_all, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from shared import clock, ids
from shared.db import sql_clock
from shared.db.batches import lifecycle
from shared.db.models import Batch, BatchMove, Job, JobEvent
from shared.errors import IllegalTransition, NotFound
from shared.states import BatchState, State

#: Items changed in one transaction.
AT_ONCE = 1_000
#: What an item and its successor share.
_KEPT = (
    "owner", "queue_key", "item_key", "preset", "params", "weights_wanted", "content_id", "styles", "init_id",
    "group_key", "work_key", "reuse", "priority", "label", "annotations", "predicted_s", "time_limit_s", "retention_s",
)  # fmt: skip
#: What may be tried again.
_RETRIED = (State.FAILED, State.EXPIRED)


class NewItem(NamedTuple):
    """An item as it is asked for, all of it checked."""

    key: str
    content_id: str
    #: In full, not what departs from the preset.
    params: dict[str, Any]
    styles: list[dict[str, Any]]
    group_key: str | None
    work_key: str
    #: In seconds, once running; None while nobody knows.
    predicted_s: float | None
    #: In px·steps.
    work: float


class Added(NamedTuple):
    """What became of items: new ones, those that were there already, and keys that name something else."""

    new: list[NewItem]
    existing: list[NewItem]
    taken: list[NewItem]


def get_item(session: Session, batch_id: str, key: str) -> Job:
    """Return the item of a key; raise `NotFound`."""
    found = session.scalars(select(Job).where(Job.batch_id == batch_id, Job.item_key == key)).one_or_none()
    if found is None:
        raise NotFound(f"The batch has no item {key}.")
    return found


def list_items(session: Session, batch_id: str, states: Sequence[State], *, after: str | None, limit: int) -> list[Job]:
    """Return up to `limit` items in the order in which they were added, those further on than the place `after`."""
    pages = []
    for state in states or list(State):
        query = select(Job.id, Job.sort_id).where(Job.batch_id == batch_id, Job.state == state)
        if after is not None:
            query = query.where(Job.sort_id > after)
        one = query.order_by(Job.sort_id).limit(limit).subquery()
        pages.append(select(one.c.id, one.c.sort_id))
    both = union_all(*pages).subquery()
    first = select(both.c.id).order_by(both.c.sort_id).limit(limit)
    return list(session.scalars(select(Job).where(Job.id.in_(first)).order_by(Job.sort_id)))


def sort_out(session: Session, batch: Batch, items: Iterable[NewItem]) -> Added:
    """Say which of `items` a locked batch does not have yet."""
    items = list(items)
    known = _known(session, batch.id, [item.key for item in items])
    found = Added([], [], [])
    for item in items:
        asked = (item.content_id, item.params, item.styles)
        if item.key not in known:
            known[item.key] = asked
            found.new.append(item)
        elif known[item.key] == asked:
            found.existing.append(item)
        else:
            found.taken.append(item)
    return found


def add(session: Session, batch: Batch, items: Sequence[NewItem]) -> None:
    """Add new items to a locked batch: nothing → queued; one that had finished runs again.

    Raises `IllegalTransition` for a batch that is canceled.
    """
    if batch.state == BatchState.CANCELED:
        raise IllegalTransition("The batch is canceled; nothing can be added to it.", state=batch.state)
    if not items:
        return
    if batch.state == BatchState.FINISHED:
        lifecycle.transition(session, batch, BatchState.RUNNING)
    shared: dict[str, Any] = {
        "owner": batch.owner,
        "queue_key": batch.id,
        "batch_id": batch.id,
        "preset": batch.preset,
        "weights_wanted": batch.weights_wanted,
        "reuse": batch.reuse,
        "label": batch.label,
        "annotations": {},
        "retention_s": batch.retention_s,
        "time_limit_s": batch.time_limit_s,
    }
    rows = [
        {
            **shared,
            "item_key": item.key,
            "content_id": item.content_id,
            "params": item.params,
            "styles": item.styles,
            "group_key": item.group_key,
            "work_key": item.work_key,
            "predicted_s": item.predicted_s,
        }
        for item in items
    ]
    _queue(session, batch.id, rows)


def retry_failed(session: Session, batch: Batch) -> int:
    """Put a successor in the place of up to `AT_ONCE` items that failed or expired, in a locked batch; return how many.

    Raises `IllegalTransition` for a batch that is canceled.
    """
    if batch.state == BatchState.CANCELED:
        raise IllegalTransition("The batch is canceled; nothing is tried again.", state=batch.state)
    failed = select(Job).where(Job.batch_id == batch.id, Job.state.in_(_RETRIED)).order_by(Job.sort_id).limit(AT_ONCE)
    former = list(session.scalars(failed.with_for_update()))
    if not former:
        return 0
    if batch.state == BatchState.FINISHED:
        lifecycle.transition(session, batch, BatchState.RUNNING)
    rows = [
        {"batch_id": batch.id, "retry_of": job.id, **{name: getattr(job, name) for name in _KEPT}} for job in former
    ]
    session.execute(
        update(Job)
        .where(Job.id.in_([job.id for job in former]))
        .values(batch_id=None, item_key=None)
        .execution_options(synchronize_session=False)
    )
    for state in _RETRIED:
        count = sum(job.state == state for job in former)
        if count:
            session.add(BatchMove(batch_id=batch.id, was=state, became=None, count=count))
    _queue(session, batch.id, rows)
    return len(rows)


def cancel_some(session: Session) -> tuple[int, list[str]]:
    """Cancel items of batches that are canceled: waiting ones at once, running ones by a wish.

    Returns how many were waiting, and which are running.
    """
    canceled = select(Batch.id).where(Batch.state == BatchState.CANCELED, Batch.ended_at.is_(None)).limit(1)
    of_canceled = Job.batch_id.in_(list(session.scalars(canceled.order_by(Batch.id))))
    unwished = (of_canceled, Job.state == State.RUNNING, Job.cancel_requested_at.is_(None))
    free = select(Job.id).where(*unwished).with_for_update(skip_locked=True)  # what is just ending needs no wish
    wished = update(Job).where(Job.id.in_(free), *unwished).values(cancel_requested_at=clock.now()).returning(Job.id)
    running = list(session.scalars(wished.execution_options(synchronize_session=False)))
    waiting = select(Job.id).where(of_canceled, Job.state == State.QUEUED).limit(AT_ONCE)
    found = list(session.scalars(waiting.with_for_update(skip_locked=True)))
    return (_cancel(session, found) if found else 0), running


def _cancel(session: Session, job_ids: Sequence[str]) -> int:
    now = clock.now()
    values = {
        "state": State.CANCELED,
        "ended_at": now,
        "cancel_requested_at": now,
        "dispatched_at": None,
        "expires_at": sql_clock.now_plus(Job.retention_s),
    }
    statement = update(Job).where(Job.id.in_(job_ids), Job.state == State.QUEUED).values(**values)
    statement = statement.returning(Job.id, Job.batch_id, Job.attempt).execution_options(synchronize_session=False)
    ended = session.execute(statement).all()
    if ended:
        told = {"name": "job_canceled", "state": State.CANCELED, "at": now}
        session.execute(insert(JobEvent), [{"job_id": job.id, "attempt": job.attempt, **told} for job in ended])
        moved = {"was": State.QUEUED, "became": State.CANCELED, "count": 1}
        session.execute(insert(BatchMove), [{"batch_id": job.batch_id, "job_id": job.id, **moved} for job in ended])
    return len(ended)


def _known(session: Session, batch_id: str, keys: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """Find which keys a batch has, each with what tells its item from another.

    PostgreSQL, which knows nothing yet of a batch that is being filled, would read all of it if it were asked for many
    keys at once; so it is asked for one after the other, in one statement.
    """
    query = select(Job.item_key, Job.content_id, Job.params, Job.styles).where(Job.batch_id == batch_id)
    if session.get_bind().dialect.name == "postgresql":
        asked = func.unnest(cast(list(keys), ARRAY(String))).table_valued("key", name="asked").render_derived()
        one = query.where(Job.item_key == asked.c.key).limit(1).lateral()
        query = select(one).select_from(asked.join(one, true()))
    else:
        query = query.where(Job.item_key.in_(keys))
    return {key: tuple(rest) for key, *rest in session.execute(query)}


def _queue(session: Session, batch_id: str, rows: list[dict[str, Any]]) -> None:
    """Insert jobs in order, each with its first event, and have the batch count them."""
    now = clock.now()
    for row, job_id in zip(rows, sorted(ids.new_id() for _ in rows), strict=True):
        row |= {"id": job_id, "place": job_id, "state": State.QUEUED, "created_at": now}
        row |= {"lane": row.pop("queue_key"), "metadata": row.pop("annotations")}  # columns, not attributes
    session.execute(insert(Job.metadata.tables["jobs"]), rows)  # as rows: mapped, each would take half as long again
    told = {"name": "job_queued", "state": State.QUEUED, "attempt": 0}
    new = select(Job.id, *(literal(value) for value in told.values()), Job.created_at)
    new = new.where(Job.id.in_([row["id"] for row in rows])).order_by(Job.sort_id)
    session.execute(insert(JobEvent).from_select(["job_id", *told, "at"], new))
    session.add(BatchMove(batch_id=batch_id, was=None, became=State.QUEUED, count=len(rows)))
    session.flush()
