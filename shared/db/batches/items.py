"""Batch items in bulk: adding, retrying and canceling, a bounded number per transaction.

What else happens to an item happens to it as a job, in `shared.db.jobs`.

Invariant: within a batch, a key identifies one item; adding an identical item again changes nothing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from sqlalchemy import String, cast, func, insert, literal, select, true, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from shared import clock, ids
from shared.db.access import quotas
from shared.db.base import Database
from shared.db.batches import lifecycle
from shared.db.jobs import queries, retries, transitions
from shared.db.models import Batch, BatchMove, Job, JobEvent
from shared.errors import IllegalTransition, NotFound, UnknownImage
from shared.states import BatchState, State

#: Items changed in one transaction.
CHUNK_SIZE = 1_000
#: Items that `iterate_items` reads at once.
_PAGE = 200
#: The attributes that a new item takes from its batch and from its `NewItem`.
_OF_BATCH = (
    "owner",
    "preset",
    "weights_wanted",
    "reuse",
    "label",
    "retention_s",
    "time_limit_s",
    "depth",
    "keep_metadata",
)
_OF_ITEM = ("content_id", "params", "styles", "group_key", "work_key", "predicted_s")
#: The attributes that a retried item passes on to the new one.
_COPIED = (
    "owner", "queue_key", "item_key", "preset", "params", "weights_wanted", "content_id", "styles", "init_id",
    "group_key", "work_key", "reuse", "priority", "label", "annotations", "predicted_s", "time_limit_s", "retention_s",
    "depth", "keep_metadata",
)  # fmt: skip
#: States from which items are retried.
_RETRYABLE = (State.FAILED, State.EXPIRED)


class NewItem(NamedTuple):
    """A validated item to be added."""

    key: str
    content_id: str
    #: All parameters, with the preset applied.
    params: dict[str, Any]
    styles: list[dict[str, Any]]
    group_key: str | None
    work_key: str
    #: Predicted running time, in seconds; None if unknown.
    predicted_s: float | None
    #: In px·steps.
    work: float


class Classified(NamedTuple):
    """Items that are new, that exist identically, or whose key another item has."""

    new: list[NewItem]
    existing: list[NewItem]
    conflicting: list[NewItem]


def get_item(session: Session, batch_id: str, key: str) -> Job:
    """Return the item with a key; raise `NotFound`."""
    found = session.scalars(select(Job).where(Job.batch_id == batch_id, Job.item_key == key)).one_or_none()
    if found is None:
        raise NotFound(f"The batch has no item {key}.")
    return found


def list_items(session: Session, batch_id: str, states: Sequence[State], *, after: str | None, limit: int) -> list[Job]:
    """Return up to `limit` items in the order in which they were added, with sort ids above `after`."""
    further = [Job.sort_id > after] if after is not None else []
    wheres = [[Job.batch_id == batch_id, Job.state == state, *further] for state in states or list(State)]
    first = queries.first_ids(wheres, limit)
    return list(session.scalars(select(Job).where(Job.id.in_(first)).order_by(Job.sort_id)))


def iterate_items(database: Database, batch_id: str, states: Sequence[State] = ()) -> Iterator[Job]:
    """Yield all items in the order in which they were added; no transaction is open while the reader has one."""
    after: str | None = None
    while True:
        with database.reading() as session:
            page = list_items(session, batch_id, states, after=after, limit=_PAGE)
        if not page:
            return
        yield from page
        after = page[-1].sort_id


def classify(session: Session, batch: Batch, items: Iterable[NewItem]) -> Classified:
    """Sort `items` by what a locked batch already has; earlier ones of `items` count as existing."""
    items = list(items)
    known = _read_known(session, batch.id, [item.key for item in items])
    found = Classified([], [], [])
    for item in items:
        content = (item.content_id, item.params, item.styles)
        if item.key not in known:
            known[item.key] = content
            found.new.append(item)
        elif known[item.key] == content:
            found.existing.append(item)
        else:
            found.conflicting.append(item)
    return found


def add(session: Session, batch: Batch, items: Sequence[NewItem]) -> None:
    """Add new items to a locked batch: nothing → queued; a finished batch runs again.

    Raises `IllegalTransition` for a canceled batch.
    """
    if batch.state == BatchState.CANCELED:
        raise IllegalTransition("The batch is canceled; nothing can be added to it.", state=batch.state)
    if not items:
        return
    common: dict[str, Any] = {"queue_key": batch.id, "batch_id": batch.id, "annotations": {}}
    common |= {name: getattr(batch, name) for name in _OF_BATCH}
    rows = [common | {"item_key": item.key} | {name: getattr(item, name) for name in _OF_ITEM} for item in items]
    _queue(session, batch, rows)


def retry_failed(
    session: Session, batch: Batch, changes: Mapping[str, Any] | None = None, *, quota: quotas.Quota = quotas.UNLIMITED
) -> int:
    """Replace up to `CHUNK_SIZE` failed or expired items of a locked batch by new ones; return how many.

    The new ones are like the old ones, with other values for the attributes in `changes`. They are charged to `quota`:
    as many are replaced as may wait.

    Raises `QuotaExceeded` if not one may be, and `IllegalTransition` for a canceled batch.
    """
    if batch.state == BatchState.CANCELED:
        raise IllegalTransition("The batch is canceled; its items cannot be retried.", state=batch.state)
    failed = select(Job).where(Job.batch_id == batch.id, Job.state.in_(_RETRYABLE)).order_by(Job.sort_id)
    most = max(1, quotas.waiting_room(session, quota, CHUNK_SIZE))  # one too many raises what it has to
    former = list(session.scalars(failed.limit(most).with_for_update()))
    if not former:
        return 0
    quotas.charge(session, quota, work=_work_of(session, former) if quota.max_work_per_day else 0, count=len(former))
    rows = [
        {"batch_id": batch.id, "retry_of": job.id, **{name: getattr(job, name) for name in _COPIED}, **(changes or {})}
        for job in former
    ]
    session.execute(
        update(Job)
        .where(Job.id.in_([job.id for job in former]))
        .values(batch_id=None, item_key=None)
        .execution_options(synchronize_session=False)
    )
    for state in _RETRYABLE:
        count = sum(job.state == state for job in former)
        if count:
            session.add(BatchMove(batch_id=batch.id, was=state, became=None, count=count))
    _queue(session, batch, rows)
    return len(rows)


def _work_of(session: Session, former: Sequence[Job]) -> float:
    """Return the work of painting items again, in px·steps."""
    kept = queries.get_images(session, {image for job in former for image in retries.image_ids(job)})
    total = 0.0
    for job in former:
        # one whose images are gone, or whose old params are no longer valid, fails before it has cost anything
        with suppress(UnknownImage, ValueError):
            total += retries.compute_work(job, kept)
    return total


def cancel_chunk(session: Session) -> tuple[int, list[str]]:
    """Cancel items of a canceled batch: queued ones at once, running ones by a request to their workers.

    Returns how many were queued, and the ids of the running ones.
    """
    canceled = select(Batch.id).where(Batch.state == BatchState.CANCELED, Batch.ended_at.is_(None)).limit(1)
    of_canceled = Job.batch_id.in_(list(session.scalars(canceled.order_by(Batch.id))))
    unasked = (of_canceled, Job.state == State.RUNNING, Job.cancel_requested_at.is_(None))
    free = select(Job.id).where(*unasked).with_for_update(skip_locked=True)  # those locked are about to end anyway
    asked = update(Job).where(Job.id.in_(free), *unasked).values(cancel_requested_at=clock.now()).returning(Job.id)
    running = list(session.scalars(asked.execution_options(synchronize_session=False)))
    queued = select(Job.id).where(of_canceled, Job.state == State.QUEUED).limit(CHUNK_SIZE)
    found = list(session.scalars(queued.with_for_update(skip_locked=True)))
    values = {"cancel_requested_at": clock.now()}
    ended = transitions.end_queued(session, found, "job_canceled", State.CANCELED, **values) if found else []
    return len(ended), running


def _read_known(session: Session, batch_id: str, keys: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """Return the content of the batch's items with these keys, by key.

    PostgreSQL has no statistics of a batch that is being filled and would scan all of it for a list of keys. A lateral
    join makes it look up each key by itself.
    """
    query = select(Job.item_key, Job.content_id, Job.params, Job.styles).where(Job.batch_id == batch_id)
    if session.get_bind().dialect.name == "postgresql":
        wanted = func.unnest(cast(list(keys), ARRAY(String))).table_valued("key", name="wanted").render_derived()
        one = query.where(Job.item_key == wanted.c.key).limit(1).lateral()
        query = select(one).select_from(wanted.join(one, true()))
    else:
        query = query.where(Job.item_key.in_(keys))
    return {key: tuple(rest) for key, *rest in session.execute(query)}


def _queue(session: Session, batch: Batch, rows: list[dict[str, Any]]) -> None:
    """Insert items in order, each with its first event, and the move that counts them; a finished batch runs again."""
    if batch.state == BatchState.FINISHED:
        lifecycle.transition(session, batch, BatchState.RUNNING)
    now = clock.now()
    for row, job_id in zip(rows, sorted(ids.new_id() for _ in rows), strict=True):
        row |= {"id": job_id, "place": job_id, "state": State.QUEUED, "created_at": now}
        row |= {"lane": row.pop("queue_key"), "metadata": row.pop("annotations")}  # names of columns, not attributes
    # into the table, since the mapped class takes 1.5 times as long
    session.execute(insert(Job.metadata.tables["jobs"]), rows)
    event = {"name": "job_queued", "state": State.QUEUED, "attempt": 0}
    new = select(Job.id, *(literal(value) for value in event.values()), Job.created_at)
    new = new.where(Job.id.in_([row["id"] for row in rows])).order_by(Job.sort_id)
    session.execute(insert(JobEvent).from_select(["job_id", *event, "at"], new))
    session.add(BatchMove(batch_id=batch.id, was=None, became=State.QUEUED, count=len(rows)))
    session.flush()
