"""What is known of how long jobs take and what goes before them: bounded questions, however long the queue.

Invariant: no question here reads more than `_MOST` rows of the queue.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from shared.db.models import Job
from shared.forecasts import Sample
from shared.states import State

#: Beyond this many, nobody cares how many jobs go before.
_MOST = 10_000
#: Owners that are looked at one by one.
_MOST_OWNERS = 50
#: Jobs ahead whose times are added up; those behind them are taken to be like them.
_LOOKED_AT = 500


class Ahead(NamedTuple):
    """What goes before a job: how many jobs, and their predicted time in seconds, None if nobody could predict one."""

    jobs: int
    seconds: float | None


class Times(NamedTuple):
    """Seconds that recent jobs waited and ran."""

    waits_s: list[float]
    runs_s: list[float]


class Promise(NamedTuple):
    """When a job was promised to end, and when it did."""

    created_at: datetime
    p50_at: datetime
    p90_at: datetime
    ended_at: datetime


def samples(session: Session, limit: int) -> list[Sample]:
    """Return the jobs that succeeded last, at their first attempt."""
    query = (
        select(Job.preset, Job.params, Job.predicted_s, Job.started_at, Job.ended_at)
        .where(Job.state == State.SUCCEEDED, Job.attempt == 1, Job.ended_at.is_not(None), Job.started_at.is_not(None))
        .order_by(Job.ended_at.desc())
        .limit(limit)
    )
    return [
        Sample(preset, int(params.get("size", 0)), predicted_s, max(0.001, (ended - started).total_seconds()))
        for preset, params, predicted_s, started, ended in session.execute(query)
    ]


def recent_times(session: Session, limit: int) -> Times:
    """Return how long the jobs that succeeded last waited and ran."""
    query = (
        select(Job.created_at, Job.started_at, Job.ended_at)
        .where(Job.state == State.SUCCEEDED, Job.started_at.is_not(None), Job.ended_at.is_not(None))
        .order_by(Job.ended_at.desc())
        .limit(limit)
    )
    rows = [(created, started, ended) for created, started, ended in session.execute(query) if started and ended]
    return Times(
        [max(0.0, (started - created).total_seconds()) for created, started, _ in rows],
        [max(0.0, (ended - started).total_seconds()) for _, started, ended in rows],
    )


def promises(session: Session, limit: int) -> list[Promise]:
    """Return what was promised of the jobs that succeeded last, and what came of it."""
    query = (
        select(Job.created_at, Job.promised_p50_at, Job.promised_p90_at, Job.ended_at)
        .where(Job.state == State.SUCCEEDED, Job.promised_p50_at.is_not(None), Job.ended_at.is_not(None))
        .order_by(Job.ended_at.desc())
        .limit(limit)
    )
    return [
        Promise(created_at, p50_at, p90_at, ended_at)
        for created_at, p50_at, p90_at, ended_at in session.execute(query)
        if p50_at and p90_at and ended_at
    ]


def ahead(session: Session, owner: str, priority: int, place: str) -> Ahead:
    """Say what goes before a job: more urgent ones, then owners by turns, then by age."""
    own = _count(session, Job.owner == owner, Job.priority == priority, Job.place < place)
    total = own
    for other in _owners(session):
        total += _count(session, Job.owner == other, Job.priority > priority)
        if other != owner:
            total += min(own + 1, _count(session, Job.owner == other, Job.priority == priority, most=own + 1))
    total = min(total, _MOST)
    return Ahead(total, _seconds(session, total))


def _count(session: Session, *where: ColumnElement[bool], most: int = _MOST) -> int:
    found = select(Job.id).where(Job.state == State.QUEUED, *where).limit(most).subquery()
    return session.scalar(select(func.count()).select_from(found)) or 0


def _owners(session: Session) -> list[str]:
    found: list[str] = []
    while len(found) < _MOST_OWNERS:
        query = select(func.min(Job.owner)).where(Job.state == State.QUEUED)
        owner = session.scalar(query.where(Job.owner > found[-1]) if found else query)
        if owner is None:
            break
        found.append(owner)
    return found


def _seconds(session: Session, count: int) -> float | None:
    """Predict what the first `count` waiting jobs take, by the mean of those looked at."""
    if not count:
        return 0.0
    first = select(Job.predicted_s).where(Job.state == State.QUEUED).order_by(Job.place).limit(min(count, _LOOKED_AT))
    mean = session.scalar(select(func.avg(first.subquery().c.predicted_s)))
    return None if mean is None else float(mean) * count
