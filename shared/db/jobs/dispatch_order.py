"""The dispatch order: which queued jobs are sent to the workers next, chosen, locked and marked as sent.

The order is priority, then single jobs before batch items, then fairness (the owner with the fewest jobs in flight goes
first), then age. Each batch is a queue, and so are the single jobs of each owner. Only the first jobs of each queue are
read, never the backlog behind them.

Jobs of one queue that can be painted together are sent in one message, which takes one slot of the window. A job that
was attempted before is sent alone, so that whatever ended it cannot affect others.

Items are sent only while their batch is running, and only as many as its `max_parallel` leaves free when the run
counts the jobs in flight; dispatchers that run at the same moment may together exceed it for a while.
"""

from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select, union_all, update
from sqlalchemy.orm import Session, aliased

from shared.db import sql_clock, workers
from shared.db.models import Batch, Job
from shared.painting.keys import group_limit
from shared.states import BatchState, State

#: How many jobs behind the first are searched for members of its group; jobs submitted together are adjacent.
_LOOK_AHEAD = 256


class Capacity(NamedTuple):
    """How many more messages the broker's window takes: of single jobs, and of batch items."""

    single: int
    batched: int


class Message(NamedTuple):
    """Jobs that are sent together, to be painted as a group."""

    job_ids: list[str]
    #: Whether they are batch items, which have a lower priority in the broker.
    batched: bool


class _Head(NamedTuple):
    """One of the first due jobs of a queue."""

    job_id: str
    sort_id: str
    owner: str
    queue_key: str
    priority: int
    #: The priority within its queue; `priority` is the batch's for an item.
    own_priority: int
    batched: bool
    max_parallel: int | None
    #: Jobs with an equal key may be sent along; None if it is sent alone.
    group_key: str | None


class _InFlight:
    """Counts of the jobs in flight, including those chosen in this run."""

    def __init__(self, session: Session, redispatch_after_s: float) -> None:
        self.by_owner, self.by_queue = Counter[str](), Counter[str]()
        for owner, queue_key, count in session.execute(_in_flight_query(redispatch_after_s)):
            self.add(owner, queue_key, count)

    def add(self, owner: str, queue_key: str, count: int) -> None:
        self.by_owner[owner] += count
        self.by_queue[queue_key] += count

    def free_slots(self, head: _Head) -> int | None:
        """Return how many more jobs of its queue may be in flight; None means any number."""
        return None if head.max_parallel is None else max(0, head.max_parallel - self.by_queue[head.queue_key])


def owner_queue_key(owner: str) -> str:
    """Return the queue key of an owner's single jobs; that of batch items is the batch's id."""
    return f"owner:{owner}"


def choose(session: Session, capacity: Capacity, redispatch_after_s: float) -> list[Message]:
    """Choose, lock and mark as sent the jobs of as many messages as `capacity` allows."""
    queue = workers.get_queue(session)
    chosen: list[Message] = []
    if queue.paused_at or queue.held_for:
        return chosen
    again = True
    while again and max(capacity) > 0:
        found = _lock(session, _next_messages(session, capacity, redispatch_after_s), redispatch_after_s)
        mark_dispatched(session, [job_id for message in found for job_id in message.job_ids], sql_clock.now())
        for message in found:
            capacity = _minus_one(capacity, batched=message.batched)
        chosen += found
        # A group may include jobs that were read as the first of further messages, so there may be more to read.
        again = any(len(message.job_ids) > 1 and _of(capacity, batched=message.batched) > 0 for message in found)
    return chosen


def mark_dispatched(session: Session, job_ids: Sequence[str], at: Any) -> None:
    """Record when queued jobs were sent; None makes them due at once."""
    if job_ids:
        session.execute(
            update(Job)
            .where(Job.id.in_(job_ids), Job.state == State.QUEUED)
            .values(dispatched_at=at)
            .execution_options(synchronize_session=False)
        )


def _next_messages(session: Session, capacity: Capacity, redispatch_after_s: float) -> list[Message]:
    """Return the next messages in order, as many as fit."""
    in_flight = _InFlight(session, redispatch_after_s)
    rows = session.execute(_heads_query(max(capacity), redispatch_after_s))
    heads = {head.job_id: head for head in (_Head(*row) for row in rows)}
    messages: list[Message] = []
    while heads:
        head = min(heads.values(), key=lambda head: _order(head, in_flight))
        free_slots = in_flight.free_slots(head)
        if free_slots == 0 or _of(capacity, batched=head.batched) <= 0:
            del heads[head.job_id]
            continue
        job_ids = [head.job_id, *_group_members(session, head, free_slots, redispatch_after_s)]
        for job_id in job_ids:
            heads.pop(job_id, None)
        in_flight.add(head.owner, head.queue_key, len(job_ids))
        capacity = _minus_one(capacity, batched=head.batched)
        messages.append(Message(job_ids, head.batched))
    return messages


def _order(head: _Head, in_flight: _InFlight) -> tuple[Any, ...]:
    return -head.priority, head.batched, in_flight.by_owner[head.owner], head.sort_id


def _of(capacity: Capacity, *, batched: bool) -> int:
    return capacity.batched if batched else capacity.single


def _minus_one(capacity: Capacity, *, batched: bool) -> Capacity:
    """Take a slot of the window: single jobs leave less room for batch items, but batch items none less for them."""
    return Capacity(capacity.single if batched else capacity.single - 1, capacity.batched - 1)


def _lock(session: Session, messages: list[Message], redispatch_after_s: float) -> list[Message]:
    """Lock the jobs of `messages`; leave out those that another dispatcher has locked."""
    wanted = [job_id for message in messages for job_id in message.job_ids]
    query = select(Job.id).where(Job.id.in_(wanted), _due(Job, redispatch_after_s))
    locked = set(session.scalars(query.with_for_update(skip_locked=True)))
    kept = (Message([each for each in message.job_ids if each in locked], message.batched) for message in messages)
    return [message for message in kept if message.job_ids]


@cache  # building the statement takes longer than executing it
def _heads_query(limit: int, redispatch_after_s: float) -> Select[Any]:
    """Select the columns of `_Head` for the first `limit` due jobs of each queue that is not paused.

    A recursive query finds the queues: each step looks up the next queue key through the dispatch index.
    """
    first = select(Job.queue_key).where(Job.state == State.QUEUED).order_by(Job.queue_key).limit(1)
    queues = select(first.scalar_subquery().label("queue_key")).cte("queues", recursive=True)
    later = first.where(Job.queue_key > queues.c.queue_key)
    queues = queues.union_all(select(later.scalar_subquery()).where(queues.c.queue_key.is_not(None)))
    open_queues = (
        select(queues.c.queue_key, Batch.id.is_not(None).label("batched"), Batch.priority, Batch.max_parallel)
        .outerjoin(Batch, Batch.id == queues.c.queue_key)
        .where(queues.c.queue_key.is_not(None), or_(Batch.id.is_(None), Batch.state == BatchState.RUNNING))
        .cte("open_queues")
    )
    waiting = aliased(Job)
    own = (
        select(waiting.id)
        .where(waiting.queue_key == open_queues.c.queue_key, _due(waiting, redispatch_after_s))
        .order_by(waiting.priority.desc(), waiting.sort_id)
        .limit(limit)
        .correlate(open_queues)
    )
    group_key = case((Job.attempt == 0, Job.group_key))
    of_queue = open_queues.c
    return select(
        Job.id,
        Job.sort_id,
        Job.owner,
        Job.queue_key,
        func.coalesce(of_queue.priority, Job.priority),
        Job.priority,
        of_queue.batched,
        of_queue.max_parallel,
        group_key,
    ).join(open_queues, Job.id.in_(own))


def _group_members(session: Session, head: _Head, free_slots: int | None, redispatch_after_s: float) -> list[str]:
    """Return the due jobs that can be painted together with `head`, oldest first, none of them attempted before."""
    if head.group_key is None:
        return []
    size = group_limit(head.group_key)
    size = size if free_slots is None else min(free_slots, size)
    near = (
        select(Job.id, Job.sort_id, Job.attempt, Job.group_key)
        .where(Job.queue_key == head.queue_key, Job.priority == head.own_priority, _due(Job, redispatch_after_s))
        .where(Job.sort_id > head.sort_id)  # `head` is the oldest of its queue that is left
        .order_by(Job.sort_id)
        .limit(_LOOK_AHEAD)
        .subquery()
    )
    query = select(near.c.id).where(near.c.group_key == head.group_key, near.c.attempt == 0).order_by(near.c.sort_id)
    return list(session.scalars(query.limit(size - 1)))


@cache
def _in_flight_query(redispatch_after_s: float) -> Select[Any]:
    """Count the jobs of each owner and queue that are running or waiting in the broker."""
    sent = Job.dispatched_at > sql_clock.now_plus(-redispatch_after_s)
    wheres = (Job.state == State.RUNNING, sent)
    found = union_all(*(select(Job.owner, Job.queue_key).where(where) for where in wheres)).subquery()
    return select(found.c.owner, found.c.queue_key, func.count()).group_by(found.c.owner, found.c.queue_key)


def _due(job: type[Job], redispatch_after_s: float) -> ColumnElement[bool]:
    """Return the condition that a job is due: queued, unsent or sent long ago, and not waiting for a retry."""
    unsent = or_(job.dispatched_at.is_(None), job.dispatched_at <= sql_clock.now_plus(-redispatch_after_s))
    return and_(job.state == State.QUEUED, unsent, or_(job.retry_at.is_(None), job.retry_at <= sql_clock.now()))
