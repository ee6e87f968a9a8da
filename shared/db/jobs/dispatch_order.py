"""Whose turn it is: the messages that go to the workers next, chosen, locked and stamped.

The order is priority, then jobs that are in no batch before the items of batches, then fairness between owners (who
has the fewest jobs in flight goes first), then age. Jobs wait in lanes, one for each batch and one for each owner's
other jobs; only the heads of lanes are read, never the backlog behind them.

A job that has never begun takes others of its lane along that can be painted with it: they fill one place of the
window, and count towards their owner's turn each. One that was begun before goes alone: what ended it must not meet
them again.

Invariant: of a batch no more are in flight than its `max_parallel`, and none unless it runs.
"""

from __future__ import annotations

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

#: How far behind a job its companions are looked for: jobs submitted together lie together.
_LOOK_AHEAD = 256


class Room(NamedTuple):
    """How many messages the broker takes: of jobs in no batch, and of batches' items."""

    single: int
    batched: int


class Message(NamedTuple):
    """Jobs that are sent together."""

    job_ids: list[str]
    #: Whether they are items of a batch, which let others pass.
    batched: bool


class _Head(NamedTuple):
    """A due job that may go next."""

    job_id: str
    sort_id: str
    owner: str
    queue_key: str
    priority: int
    #: The priority among its lane's own.
    own_priority: int
    batched: bool
    max_parallel: int | None
    #: Of the group that it may take along; None if it goes alone.
    group_key: str | None


class _InFlight:
    """What is in flight, with what is chosen on top."""

    def __init__(self, session: Session, redispatch_after_s: float) -> None:
        self.of_owner, self.of_lane = Counter[str](), Counter[str]()
        for owner, lane, count in _in_flight(session, redispatch_after_s):
            self.add(owner, lane, count)

    def add(self, owner: str, lane: str, count: int) -> None:
        self.of_owner[owner] += count
        self.of_lane[lane] += count

    def room(self, head: _Head) -> int | None:
        """Say how many more of a lane may fly; None is any number."""
        return None if head.max_parallel is None else max(0, head.max_parallel - self.of_lane[head.queue_key])


def owner_queue_key(owner: str) -> str:
    """Name the lane that an owner's jobs wait in, those of batches apart; a batch's lane is its id."""
    return f"owner:{owner}"


def choose(session: Session, room: Room, redispatch_after_s: float) -> list[Message]:
    """Pick, lock and stamp the jobs of as many messages as there is room for."""
    queue = workers.get_queue(session)
    chosen: list[Message] = []
    if queue.paused_at or queue.held_for:
        return chosen
    again = True
    while again and max(room) > 0:
        in_turn = _in_turn(session, room, redispatch_after_s)
        found = _locked(session, in_turn, redispatch_after_s)
        mark_dispatched(session, [job_id for message in found for job_id in message.job_ids], sql_clock.now())
        for message in found:
            room = _less(room, batched=message.batched)
        chosen += found
        # A message that took others along may have taken those that were read as the next ones.
        again = any(len(message.job_ids) > 1 and _of(room, batched=message.batched) > 0 for message in found)
    return chosen


def mark_dispatched(session: Session, job_ids: Sequence[str], moment: Any) -> None:
    """Note when jobs were sent; None has them sent again at once."""
    if job_ids:
        session.execute(
            update(Job)
            .where(Job.id.in_(job_ids), Job.state == State.QUEUED)
            .values(dispatched_at=moment)
            .execution_options(synchronize_session=False)
        )


def _in_turn(session: Session, room: Room, redispatch_after_s: float) -> list[Message]:
    """List the next messages, until the room is full or no head is left."""
    flying = _InFlight(session, redispatch_after_s)
    heads = {head.job_id: head for head in _heads(session, max(room), redispatch_after_s)}
    messages: list[Message] = []
    while heads:
        head = min(heads.values(), key=lambda head: _turn(head, flying))
        free = flying.room(head)
        if free == 0 or _of(room, batched=head.batched) <= 0:
            del heads[head.job_id]
            continue
        job_ids = [head.job_id, *_companions(session, head, free, redispatch_after_s)]
        for job_id in job_ids:
            heads.pop(job_id, None)
        flying.add(head.owner, head.queue_key, len(job_ids))
        room = _less(room, batched=head.batched)
        messages.append(Message(job_ids, head.batched))
    return messages


def _turn(head: _Head, flying: _InFlight) -> tuple[Any, ...]:
    return -head.priority, head.batched, flying.of_owner[head.owner], head.sort_id


def _of(room: Room, *, batched: bool) -> int:
    return room.batched if batched else room.single


def _less(room: Room, *, batched: bool) -> Room:
    return Room(room.single, room.batched - 1) if batched else Room(room.single - 1, room.batched - 1)


def _locked(session: Session, messages: list[Message], redispatch_after_s: float) -> list[Message]:
    """Lock the jobs of `messages`, and leave out those that another dispatcher has."""
    wanted = [job_id for message in messages for job_id in message.job_ids]
    query = select(Job.id).where(Job.id.in_(wanted), _due(Job, redispatch_after_s))
    locked = set(session.scalars(query.with_for_update(skip_locked=True)))
    had = (Message([each for each in message.job_ids if each in locked], message.batched) for message in messages)
    return [message for message in had if message.job_ids]


def _heads(session: Session, most: int, redispatch_after_s: float) -> list[_Head]:
    """Read the first `most` due jobs of each lane that may be painted, without reading the backlog behind them."""
    return [_Head(*row) for row in session.execute(_first_of_lanes(most, redispatch_after_s))]


@cache  # to build it takes longer than to carry it out
def _first_of_lanes(most: int, redispatch_after_s: float) -> Select[Any]:
    first = select(Job.queue_key).where(Job.state == State.QUEUED).order_by(Job.queue_key).limit(1)
    lanes = select(first.scalar_subquery().label("queue_key")).cte("lanes", recursive=True)
    later = first.where(Job.queue_key > lanes.c.queue_key)
    lanes = lanes.union_all(select(later.scalar_subquery()).where(lanes.c.queue_key.is_not(None)))
    open_lanes = (
        select(lanes.c.queue_key, Batch.id.is_not(None).label("batched"), Batch.priority, Batch.max_parallel)
        .outerjoin(Batch, Batch.id == lanes.c.queue_key)
        .where(lanes.c.queue_key.is_not(None), or_(Batch.id.is_(None), Batch.state == BatchState.RUNNING))
        .cte("open_lanes")
    )
    waiting = aliased(Job)
    own = (
        select(waiting.id)
        .where(waiting.queue_key == open_lanes.c.queue_key, _due(waiting, redispatch_after_s))
        .order_by(waiting.priority.desc(), waiting.sort_id)
        .limit(most)
        .correlate(open_lanes)
    )
    group_key = case((Job.attempt == 0, Job.group_key))
    of_lane = open_lanes.c
    return select(
        Job.id,
        Job.sort_id,
        Job.owner,
        Job.queue_key,
        func.coalesce(of_lane.priority, Job.priority),
        Job.priority,
        of_lane.batched,
        of_lane.max_parallel,
        group_key,
    ).join(open_lanes, Job.id.in_(own))


def _companions(session: Session, head: _Head, free: int | None, redispatch_after_s: float) -> list[str]:
    """Find the due jobs that are painted together with `head`, oldest first; none of them was begun before."""
    if head.group_key is None:
        return []
    most = group_limit(head.group_key) if free is None else min(free, group_limit(head.group_key))
    near = (
        select(Job.id, Job.sort_id, Job.attempt, Job.group_key)
        .where(Job.queue_key == head.queue_key, Job.priority == head.own_priority, _due(Job, redispatch_after_s))
        .where(Job.sort_id > head.sort_id)  # the head is the oldest of its lane's that are left
        .order_by(Job.sort_id)
        .limit(_LOOK_AHEAD)
        .subquery()
    )
    query = select(near.c.id).where(near.c.group_key == head.group_key, near.c.attempt == 0).order_by(near.c.sort_id)
    return list(session.scalars(query.limit(most - 1)))


def _in_flight(session: Session, redispatch_after_s: float) -> Sequence[tuple[str, str, int]]:
    """Count the jobs of each owner and lane that run or wait in the broker."""
    return session.execute(_in_flight_query(redispatch_after_s)).all()


@cache
def _in_flight_query(redispatch_after_s: float) -> Select[Any]:
    sent = Job.dispatched_at > sql_clock.now_plus(-redispatch_after_s)
    wheres = (Job.state == State.RUNNING, sent)
    flying = union_all(*(select(Job.owner, Job.queue_key).where(where) for where in wheres)).subquery()
    return select(flying.c.owner, flying.c.queue_key, func.count()).group_by(flying.c.owner, flying.c.queue_key)


def _due(job: type[Job], redispatch_after_s: float) -> ColumnElement[bool]:
    """Say when a queued job is to be sent: not yet or long ago, and not before a retry's time."""
    unsent = or_(job.dispatched_at.is_(None), job.dispatched_at <= sql_clock.now_plus(-redispatch_after_s))
    return and_(job.state == State.QUEUED, unsent, or_(job.retry_at.is_(None), job.retry_at <= sql_clock.now()))
