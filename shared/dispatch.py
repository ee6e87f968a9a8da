"""Which jobs go next: the backlog is in the database, and only a small window of it in the broker.

The order is priority, then fairness between owners (who has the fewest jobs in flight goes first), then age.
Rows are locked while they are chosen (`SKIP LOCKED` on PostgreSQL, one writer on SQLite), so any number of
dispatchers may run at once; messages are sent after the commit.

A job that has never begun takes others along that can be painted with it: they fill one place of the window, and
count towards their owner's turn each. One that was begun before goes alone: what ended it must not meet them again.

The broker itself says how much room there is: a job sent long ago and still unclaimed is sent again only into
a window that has emptied. So a lost message costs seconds, and a busy fleet never piles up repeats.

Invariant: a queued job is always unsent, or sent less than `redispatch_after_s` ago, or behind a full window. A
message lost, repeated or stray does no harm: the claim decides.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from sqlalchemy import ColumnElement, and_, case, func, or_, select, union_all, update
from sqlalchemy.orm import Session, aliased

from shared import logs
from shared.db import moments, workers
from shared.db.base import Database
from shared.db.models import Job
from shared.errors import BrokerUnavailable, DatabaseUnavailable
from shared.groups import most_in_group
from shared.settings import Settings
from shared.states import State

#: How far behind a job its companions are looked for: jobs submitted together lie together.
_LOOK_AHEAD = 256

log = logs.get(__name__)


class Messages(Protocol):
    """The queue of messages to the painting workers."""

    def waiting(self) -> int:
        """Return how many wait there; raise `BrokerUnavailable`."""

    def send_paint(self, job_ids: Sequence[str]) -> bool:
        """Send jobs to be painted in one message; say whether it was taken."""


class Dispatcher:
    """Fills the broker's window from the backlog."""

    def __init__(self, database: Database, messages: Messages, settings: Settings) -> None:
        """Prepare to dispatch; nothing is connected yet."""
        self._database = database
        self._messages = messages
        self._per_worker = settings.messages_per_worker
        self._redispatch_after_s = settings.redispatch_after_s
        self._nudged = threading.Event()
        self._lock = threading.Lock()
        self._nudger: threading.Thread | None = None

    def run(self) -> int:
        """Send the next queued jobs until the window is full of messages; return how many jobs were sent.

        Raises `BrokerUnavailable` or `DatabaseUnavailable`.
        """
        waiting = self._messages.waiting()
        with self._database.writing("dispatch") as session:
            room = self._per_worker * max(1, workers.willing_count(session)) - waiting
            chosen = _choose(session, room, self._redispatch_after_s)
        unsent = [job_id for message in chosen if not self._messages.send_paint(message) for job_id in message]
        if unsent:
            with self._database.writing("unsend") as session:
                _stamp(session, unsent, None)
        sent = sum(len(message) for message in chosen) - len(unsent)
        if chosen:
            log.info("jobs_dispatched", sent=sent, unsent=len(unsent), messages=len(chosen))
        return sent

    def nudge(self) -> None:
        """Have the backlog looked at now; return at once, whatever Redis does.

        A thread does the work, and many nudges at a time are one. What goes wrong is made good by the
        maintenance process within a second.
        """
        self._nudged.set()
        with self._lock:
            if self._nudger is None:
                self._nudger = threading.Thread(target=self._run_when_nudged, name="nudger", daemon=True)
                self._nudger.start()

    def _run_when_nudged(self) -> None:
        trouble = ""
        while self._nudged.wait():
            self._nudged.clear()
            try:
                self.run()
                trouble = ""
            except (BrokerUnavailable, DatabaseUnavailable) as error:
                if error.code != trouble:
                    log.warning("dispatch_failed", code=error.code, reason=str(error))
                trouble = error.code


class _Head(NamedTuple):
    """A due job that may go next."""

    job_id: str
    place: str
    owner: str
    priority: int
    #: Of the group that it may take along; None if it goes alone.
    group_key: str | None


def _choose(session: Session, room: int, redispatch_after_s: float) -> list[list[str]]:
    """Pick, lock and stamp the jobs of up to `room` messages."""
    queue = workers.queue(session)
    chosen: list[list[str]] = []
    if queue.paused_at or queue.held_for:
        return chosen
    while len(chosen) < room:  # again where a message took along jobs that would have been the next ones
        found = _locked(session, _in_turn(session, room - len(chosen), redispatch_after_s), redispatch_after_s)
        if not found:
            break
        _stamp(session, [job_id for message in found for job_id in message], moments.now())
        chosen += found
    return chosen


def _in_turn(session: Session, room: int, redispatch_after_s: float) -> list[list[str]]:
    """List the next messages: by priority, then by how many of its owner's go before or are in flight, then by age."""
    ahead = Counter[str](dict(_in_flight(session, redispatch_after_s)))
    heads = {head.job_id: head for head in _heads(session, room, redispatch_after_s)}
    messages: list[list[str]] = []
    while heads and len(messages) < room:
        head = min(heads.values(), key=lambda head: (-head.priority, ahead[head.owner], head.place))
        message = [head.job_id, *_companions(session, head, redispatch_after_s)]
        for job_id in message:
            heads.pop(job_id, None)
        ahead[head.owner] += len(message)
        messages.append(message)
    return messages


def _locked(session: Session, messages: list[list[str]], redispatch_after_s: float) -> list[list[str]]:
    """Lock the jobs of `messages`, and leave out those that another dispatcher has."""
    wanted = [job_id for message in messages for job_id in message]
    query = select(Job.id).where(Job.id.in_(wanted), _due(Job, redispatch_after_s))
    locked = set(session.scalars(query.with_for_update(skip_locked=True)))
    had = ([job_id for job_id in message if job_id in locked] for message in messages)
    return [message for message in had if message]


def _heads(session: Session, room: int, redispatch_after_s: float) -> list[_Head]:
    """Read the first `room` due jobs of each owner who has any, without reading the backlog behind them."""
    first = select(Job.owner).where(Job.state == State.QUEUED).order_by(Job.owner).limit(1)
    owners = select(first.scalar_subquery().label("owner")).cte("owners", recursive=True)
    later = first.where(Job.owner > owners.c.owner)
    owners = owners.union_all(select(later.scalar_subquery()).where(owners.c.owner.is_not(None)))
    waiting = aliased(Job)
    own = (
        select(waiting.id)
        .where(waiting.owner == owners.c.owner, _due(waiting, redispatch_after_s))
        .order_by(waiting.priority.desc(), waiting.place)
        .limit(room)
        .correlate(owners)
    )
    group_key = case((Job.attempt == 0, Job.group_key))
    heads = select(Job.id, Job.place, Job.owner, Job.priority, group_key).join(owners, Job.id.in_(own))
    return [_Head(*row) for row in session.execute(heads)]


def _companions(session: Session, head: _Head, redispatch_after_s: float) -> list[str]:
    """Find the due jobs that are painted together with `head`, oldest first; none of them was begun before."""
    if head.group_key is None:
        return []
    near = (
        select(Job.id, Job.place, Job.attempt, Job.group_key)
        .where(Job.owner == head.owner, Job.priority == head.priority, _due(Job, redispatch_after_s))
        .where(Job.place > head.place)  # the head is the oldest of its owner's that are left
        .order_by(Job.place)
        .limit(_LOOK_AHEAD)
        .subquery()
    )
    query = select(near.c.id).where(near.c.group_key == head.group_key, near.c.attempt == 0).order_by(near.c.place)
    return list(session.scalars(query.limit(most_in_group(head.group_key) - 1)))


def _in_flight(session: Session, redispatch_after_s: float) -> Sequence[tuple[str, int]]:
    """Count each owner's jobs that run or wait in the broker."""
    sent = Job.dispatched_at > moments.after(-redispatch_after_s)
    flying = union_all(*(select(Job.owner).where(where) for where in (Job.state == State.RUNNING, sent))).subquery()
    query = select(flying.c.owner, func.count()).group_by(flying.c.owner)
    return list(session.execute(query))


def _due(job: type[Job], redispatch_after_s: float) -> ColumnElement[bool]:
    """Say when a queued job is to be sent: not yet or long ago, and not before a retry's time."""
    unsent = or_(job.dispatched_at.is_(None), job.dispatched_at <= moments.after(-redispatch_after_s))
    return and_(job.state == State.QUEUED, unsent, or_(job.retry_at.is_(None), job.retry_at <= moments.now()))


def _stamp(session: Session, job_ids: Sequence[str], moment: Any) -> None:
    if job_ids:
        session.execute(
            update(Job)
            .where(Job.id.in_(job_ids), Job.state == State.QUEUED)
            .values(dispatched_at=moment)
            .execution_options(synchronize_session=False)
        )
