"""Which jobs go next: the backlog is in the database, and only a small window of it in the broker.

The order is priority, then age. Rows are locked while they are chosen (`SKIP LOCKED` on PostgreSQL, one
writer on SQLite), so any number of dispatchers may run at once; messages are sent after the commit.

Invariant: a queued job is always either unsent, or was sent less than `redispatch_after_s` ago. A message
lost or sent twice does no harm: the claim decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Update, func, or_, select, update
from sqlalchemy.orm import Session

from shared import clock, logs
from shared.db.base import Database
from shared.db.models import Job
from shared.states import State

log = logs.get(__name__)

Send = Callable[[Sequence[str]], bool]


def dispatch(database: Database, send: Send, *, window: int, redispatch_after_s: float) -> int:
    """Send the next queued jobs until `window` of them wait in the broker; return how many were sent."""
    with database.writing() as session:
        chosen = _choose(session, window, redispatch_after_s)
    unsent = [job_id for job_id in chosen if not send([job_id])]
    if unsent:
        with database.writing() as session:
            session.execute(_stamp(unsent, None))
    if chosen:
        log.info("jobs_dispatched", sent=len(chosen) - len(unsent), unsent=len(unsent))
    return len(chosen) - len(unsent)


def _choose(session: Session, window: int, redispatch_after_s: float) -> list[str]:
    """Pick and stamp the next jobs; jobs sent long ago count as unsent."""
    now = clock.now()
    overdue = now - timedelta(seconds=redispatch_after_s)
    queued = Job.state == State.QUEUED
    in_broker = session.scalar(select(func.count()).select_from(Job).where(queued, Job.dispatched_at > overdue)) or 0
    due = (
        select(Job.id)
        .where(queued, or_(Job.dispatched_at.is_(None), Job.dispatched_at <= overdue))
        .order_by(Job.priority.desc(), Job.id)
        .limit(max(0, window - in_broker))
        .with_for_update(skip_locked=True)
    )
    chosen = list(session.scalars(due))
    if chosen:
        session.execute(_stamp(chosen, now))
    return chosen


def _stamp(job_ids: Sequence[str], moment: datetime | None) -> Update:
    return update(Job).where(Job.id.in_(job_ids), Job.state == State.QUEUED).values(dispatched_at=moment)
