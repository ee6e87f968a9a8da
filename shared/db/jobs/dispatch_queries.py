"""The statements of dispatch: the first jobs of each queue, those that may go along, and what is in flight.

`dispatch_order` decides what is sent of what they find. Each reads a few rows of a queue, whatever its backlog.
"""

from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select, union_all
from sqlalchemy.orm import Session, aliased

from shared.db import sql_clock
from shared.db.models import Batch, Job
from shared.painting.keys import group_limit
from shared.states import BatchState, State

#: How many jobs behind the first are searched for members of its group; jobs submitted together are adjacent.
_LOOK_AHEAD = 256


class Head(NamedTuple):
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
    is_sent: bool


@cache  # building the statement takes longer than executing it
def heads_query(limit: int, redispatch_after_s: float, *, resend: bool = False) -> Select[Any]:
    """Select the columns of `Head` for the first `limit` due jobs of each queue that is not paused.

    With `resend`, jobs that were sent, but not to be read first, count too.

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
    waiting, chosen = aliased(Job), waits if resend else due
    own = (
        select(waiting.id)
        .where(waiting.queue_key == open_queues.c.queue_key, chosen(waiting, redispatch_after_s))
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
        Job.dispatched_at.is_not(None),
    ).join(open_queues, Job.id.in_(own))


def group_members(
    session: Session, head: Head, free_slots: int | None, *, redispatch_after_s: float, resend: bool = False
) -> list[str]:
    """Return the due jobs that can be painted together with `head`, oldest first, none of them attempted before."""
    if head.group_key is None:
        return []
    size = group_limit(head.group_key)
    size = size if free_slots is None else max(1, min(free_slots, size))
    chosen = waits if resend else due
    near = (
        select(Job.id, Job.sort_id, Job.attempt, Job.group_key)
        .where(Job.queue_key == head.queue_key, Job.priority == head.own_priority, chosen(Job, redispatch_after_s))
        .where(Job.sort_id > head.sort_id)  # `head` is the oldest of its queue that is left
        .order_by(Job.sort_id)
        .limit(_LOOK_AHEAD)
        .subquery()
    )
    query = select(near.c.id).where(near.c.group_key == head.group_key, near.c.attempt == 0).order_by(near.c.sort_id)
    return list(session.scalars(query.limit(size - 1)))


@cache
def in_flight_query(redispatch_after_s: float) -> Select[Any]:
    """Count the jobs of each owner and queue that are running or waiting in the broker, those served apart."""
    wheres = (Job.state == State.RUNNING, _is_sent(Job, redispatch_after_s))
    served = or_(Job.state == State.RUNNING, Job.sent_first).label("served")
    found = union_all(*(select(Job.owner, Job.queue_key, served).where(where) for where in wheres)).subquery()
    columns = found.c.owner, found.c.queue_key, found.c.served
    return select(*columns, func.count()).group_by(*columns)


def _is_sent(job: type[Job], redispatch_after_s: float) -> ColumnElement[bool]:
    sent: ColumnElement[bool] = job.dispatched_at > sql_clock.now_plus(-redispatch_after_s)
    return sent


def due(job: type[Job], redispatch_after_s: float) -> ColumnElement[bool]:
    """Return the condition that a job is due: queued, unsent or sent long ago, and not waiting for a retry."""
    unsent = or_(job.dispatched_at.is_(None), job.dispatched_at <= sql_clock.now_plus(-redispatch_after_s))
    return and_(job.state == State.QUEUED, unsent, or_(job.retry_at.is_(None), job.retry_at <= sql_clock.now()))


def waits(job: type[Job], redispatch_after_s: float) -> ColumnElement[bool]:
    """Return the condition that a job is due, or waits in the broker but not first in line."""
    behind = and_(job.state == State.QUEUED, job.dispatched_at.is_not(None), job.sent_first.is_(False))
    return or_(due(job, redispatch_after_s), behind)
