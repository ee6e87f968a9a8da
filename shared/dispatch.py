"""Which jobs go next: the backlog is in the database, and only a small window of it in the broker.

The order is priority, then fairness between owners (who has the fewest jobs in flight goes first), then age.
Rows are locked while they are chosen (`SKIP LOCKED` on PostgreSQL, one writer on SQLite), so any number of
dispatchers may run at once; messages are sent after the commit.

The broker itself says how much room there is: a job sent long ago and still unclaimed is sent again only into
a window that has emptied. So a lost message costs seconds, and a busy fleet never piles up repeats.

Invariant: a queued job is always unsent, or sent less than `redispatch_after_s` ago, or behind a full window. A
message lost, repeated or stray does no harm: the claim decides.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

from sqlalchemy import ColumnElement, and_, func, or_, select, union_all, update
from sqlalchemy.orm import Session, aliased

from shared import logs
from shared.db import moments, workers
from shared.db.base import Database
from shared.db.models import Job
from shared.errors import BrokerUnavailable, DatabaseUnavailable
from shared.settings import Settings
from shared.states import State

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
        """Send the next queued jobs until the window is full; return how many were sent.

        Raises `BrokerUnavailable` or `DatabaseUnavailable`.
        """
        waiting = self._messages.waiting()
        with self._database.writing("dispatch") as session:
            room = self._per_worker * max(1, workers.willing_count(session)) - waiting
            chosen = _choose(session, room, self._redispatch_after_s)
        unsent = [job_id for job_id in chosen if not self._messages.send_paint([job_id])]
        if unsent:
            with self._database.writing("unsend") as session:
                _stamp(session, unsent, None)
        if chosen:
            log.info("jobs_dispatched", sent=len(chosen) - len(unsent), unsent=len(unsent))
        return len(chosen) - len(unsent)

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


def _choose(session: Session, room: int, redispatch_after_s: float) -> list[str]:
    """Pick, lock and stamp up to `room` jobs."""
    queue = workers.queue(session)
    if room <= 0 or queue.paused_at or queue.held_for:
        return []
    due = _due(Job, redispatch_after_s)
    wanted = _in_turn(session, room, redispatch_after_s)
    locked = set(session.scalars(select(Job.id).where(Job.id.in_(wanted), due).with_for_update(skip_locked=True)))
    chosen = [job_id for job_id in wanted if job_id in locked]
    _stamp(session, chosen, moments.now())
    return chosen


def _in_turn(session: Session, room: int, redispatch_after_s: float) -> list[str]:
    """List the next jobs: by priority, then by how many of its owner's go before or are in flight, then by age."""
    ahead = Counter[str](dict(_in_flight(session, redispatch_after_s)))
    ranked = []
    for job_id, owner, priority in _heads(session, room, redispatch_after_s):
        ranked.append((-priority, ahead[owner], job_id))
        ahead[owner] += 1
    return [job_id for *_, job_id in sorted(ranked)[:room]]


def _heads(session: Session, room: int, redispatch_after_s: float) -> Sequence[tuple[str, str, int]]:
    """Read the first `room` due jobs of each owner who has any, without reading the backlog behind them."""
    first = select(Job.owner).where(Job.state == State.QUEUED).order_by(Job.owner).limit(1)
    owners = select(first.scalar_subquery().label("owner")).cte("owners", recursive=True)
    later = first.where(Job.owner > owners.c.owner)
    owners = owners.union_all(select(later.scalar_subquery()).where(owners.c.owner.is_not(None)))
    waiting = aliased(Job)
    own = (
        select(waiting.id)
        .where(waiting.owner == owners.c.owner, _due(waiting, redispatch_after_s))
        .order_by(waiting.priority.desc(), waiting.id)
        .limit(room)
        .correlate(owners)
    )
    heads = select(Job.id, Job.owner, Job.priority).join(owners, Job.id.in_(own))
    return list(session.execute(heads.order_by(Job.priority.desc(), Job.id)))


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
