"""The dispatch order: which queued jobs are sent to the workers next, chosen, locked and marked as sent.

Owners take turns. Of one owner's jobs, the order is priority, then single jobs before batch items, then age. Between
owners, the one with the fewest jobs in flight goes first. An owner who has nothing running while others have is first
in line: its next job, even if it waits in the broker already, is sent to be read before all messages of others; of
several such owners, the next is who has waited longest since its last turn. A priority above `OWN_PRIORITY`, which
only operators may give, goes before the jobs of all owners.

Each batch is a queue, and so are the single jobs of each owner. Only the first jobs of each queue are read, never the
backlog behind them.

Jobs of one queue that can be painted together are sent in one message, which takes one slot of the window. A job that
was attempted before is sent alone, so that whatever ended it cannot affect others.

Items are sent only while their batch is running, and only as many as its `max_parallel` leaves free when the run
counts the jobs in flight; dispatchers that run at the same moment may together exceed it for a while.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from shared.db import sql_clock, workers
from shared.db.jobs import turns
from shared.db.jobs.dispatch_queries import Head, due, group_members, heads_query, in_flight_query, waits
from shared.db.models import Job
from shared.priorities import OWN_PRIORITY
from shared.states import Rank, State

#: When an owner who never had a turn had its last.
_NEVER = datetime.min.replace(tzinfo=UTC)


class Capacity(NamedTuple):
    """How many more messages the broker's window takes: first in line, of single jobs, and of batch items."""

    first: int
    single: int
    batched: int


class Message(NamedTuple):
    """Jobs that are sent together, to be painted as a group."""

    job_ids: list[str]
    rank: Rank
    owner: str


class _InFlight:
    """Counts of the jobs in flight, including those chosen in this run."""

    def __init__(self, session: Session, redispatch_after_s: float) -> None:
        self.by_owner, self.by_queue = Counter[str](), Counter[str]()
        #: Owners who have a job running or first in line.
        self.served: set[str] = set()
        for owner, queue_key, served, count in session.execute(in_flight_query(redispatch_after_s)):
            self.add(owner, queue_key, count)
            if served:
                self.served.add(owner)

    def add(self, owner: str, queue_key: str, count: int) -> None:
        self.by_owner[owner] += count
        self.by_queue[queue_key] += count

    def free_slots(self, head: Head) -> int | None:
        """Return how many more jobs of its queue may be in flight; None means any number."""
        return None if head.max_parallel is None else max(0, head.max_parallel - self.by_queue[head.queue_key])


def owner_queue_key(owner: str) -> str:
    """Return the queue key of an owner's single jobs; that of batch items is the batch's id."""
    return f"owner:{owner}"


def choose(session: Session, capacity: Capacity, redispatch_after_s: float) -> list[Message]:
    """Choose, lock and mark as sent the jobs of as many messages as `capacity` allows."""
    queue = workers.get_queue(session)
    if queue.paused_at or queue.held_for:
        return []
    chosen = _send_first(session, capacity.first, redispatch_after_s)
    capacity = Capacity(0, capacity.single - len(chosen), capacity.batched - len(chosen))
    again = True
    while again and max(capacity) > 0:
        found = _lock(session, _next_messages(session, capacity, redispatch_after_s), due(Job, redispatch_after_s))
        mark_dispatched(session, [job_id for message in found for job_id in message.job_ids], sql_clock.now())
        for message in found:
            capacity = _minus_one(capacity, message.rank)
        chosen += found
        # A group may include jobs that were read as the first of further messages, so there may be more to read.
        again = any(len(message.job_ids) > 1 and capacity[message.rank] > 0 for message in found)
    turns.record(session, {message.owner for message in chosen})
    return chosen


def mark_dispatched(session: Session, job_ids: Sequence[str], at: Any, *, first: bool = False) -> None:
    """Record when queued jobs were sent, and whether to be `first` in line; None makes them due at once."""
    if job_ids:
        session.execute(
            update(Job)
            .where(Job.id.in_(job_ids), Job.state == State.QUEUED)
            .values(dispatched_at=at, sent_first=first)
            .execution_options(synchronize_session=False)
        )


def _send_first(session: Session, most: int, redispatch_after_s: float) -> list[Message]:
    """Send the next jobs of up to `most` owners who have nothing running while others have, to be read first.

    A job that waits in the broker behind others' is sent again; whichever message is read last does nothing.
    """
    in_flight = _InFlight(session, redispatch_after_s)
    if most <= 0 or not in_flight.by_owner:
        return []
    rows = session.execute(heads_query(1, redispatch_after_s, resend=True))
    heads = [head for head in (Head(*row) for row in rows) if _may_be_first(head, in_flight)]
    last_turns = turns.last_turns(session, {head.owner for head in heads})
    first = sorted(
        _next_of_owners(heads), key=lambda head: (-_lead(head), last_turns.get(head.owner, _NEVER), head.sort_id)
    )
    members = partial(group_members, session, redispatch_after_s=redispatch_after_s, resend=True)
    found = [
        Message([head.job_id, *members(head, in_flight.free_slots(head))], Rank.FIRST, head.owner)
        for head in first[:most]
    ]
    sent = _lock(session, found, waits(Job, redispatch_after_s))
    mark_dispatched(session, [job_id for message in sent for job_id in message.job_ids], sql_clock.now(), first=True)
    return sent


def _may_be_first(head: Head, in_flight: _InFlight) -> bool:
    """Return whether an owner's job may pass the messages of others."""
    is_its_turn = bool(in_flight.served) and head.owner not in in_flight.served
    return (is_its_turn or _lead(head) > 0) and (head.is_sent or in_flight.free_slots(head) != 0)


def _next_messages(session: Session, capacity: Capacity, redispatch_after_s: float) -> list[Message]:
    """Return the next messages in order, as many as fit."""
    in_flight = _InFlight(session, redispatch_after_s)
    rows = session.execute(heads_query(max(capacity), redispatch_after_s))
    heads = {head.job_id: head for head in (Head(*row) for row in rows)}
    messages: list[Message] = []
    while heads:
        head = min(_next_of_owners(heads.values()), key=lambda head: _order(head, in_flight))
        free_slots, rank = in_flight.free_slots(head), Rank.BATCHED if head.batched else Rank.SINGLE
        if free_slots == 0 or capacity[rank] <= 0:
            del heads[head.job_id]
            continue
        job_ids = [head.job_id, *group_members(session, head, free_slots, redispatch_after_s=redispatch_after_s)]
        for job_id in job_ids:
            heads.pop(job_id, None)
        in_flight.add(head.owner, head.queue_key, len(job_ids))
        capacity = _minus_one(capacity, rank)
        messages.append(Message(job_ids, rank, head.owner))
    return messages


def _next_of_owners(heads: Iterable[Head]) -> Iterable[Head]:
    """Return the next job of each owner: by priority, then single jobs before items, then age."""
    found: dict[str, Head] = {}
    for head in sorted(heads, key=lambda head: (-head.priority, head.batched, head.sort_id)):
        found.setdefault(head.owner, head)
    return found.values()


def _order(head: Head, in_flight: _InFlight) -> tuple[Any, ...]:
    """Return the order between the next jobs of owners."""
    return -_lead(head), in_flight.by_owner[head.owner], head.batched, head.sort_id


def _lead(head: Head) -> int:
    """Return by how much a job's priority exceeds what counts within its owner."""
    return max(0, head.priority - OWN_PRIORITY)


def _minus_one(capacity: Capacity, rank: Rank) -> Capacity:
    """Take a slot of the window: single jobs leave less room for batch items, but batch items none less for them."""
    return capacity._replace(single=capacity.single - (rank == Rank.SINGLE), batched=capacity.batched - 1)


def _lock(session: Session, messages: list[Message], still: ColumnElement[bool]) -> list[Message]:
    """Lock the jobs of `messages` for which `still` holds; leave out those that another dispatcher has locked."""
    wanted = [job_id for message in messages for job_id in message.job_ids]
    query = select(Job.id).where(Job.id.in_(wanted), still)
    locked = set(session.scalars(query.with_for_update(skip_locked=True)))
    kept = (message._replace(job_ids=[each for each in message.job_ids if each in locked]) for message in messages)
    return [message for message in kept if message.job_ids]
