"""Readings of the system, a row a minute: what curves over hours are drawn from.

Any number of processes may take them: a minute's row is written again and again while the minute lasts, and a last
time in the next one, when all that ended in it has.

Counting is apart from writing, for counting takes longer than anybody should wait who writes.

Invariant: taking a reading twice changes nothing but what has changed meanwhile.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared import clock
from shared.db.jobs import queries
from shared.db.models import Job, MinuteStats
from shared.states import State

#: How long readings are kept, in seconds.
KEPT_S = 7 * 86_400.0
#: Of the jobs that ended within a minute no more are looked at.
_MOST_ENDED = 20_000
_MINUTE = timedelta(minutes=1)


class MinuteSample(NamedTuple):
    """How the system was when it was looked at: the values of that minute, and the final ones of the minute before."""

    minute: datetime
    values: dict[str, Any]
    before: dict[str, Any]


def sample(session: Session, now: datetime | None = None) -> MinuteSample:
    """Count what waits and runs, and what ended in the minute of `now` and in the one before; nothing is written."""
    now = now or clock.now()
    minute = now.replace(second=0, microsecond=0)
    backlog = queries.get_backlog(session)
    oldest_s = max(0.0, (now - backlog.oldest_at).total_seconds()) if backlog.oldest_at else None
    standing = {"waiting": backlog.queued, "running": backlog.running, "oldest_s": oldest_s}
    return MinuteSample(minute, standing | _ended(session, minute), _ended(session, minute - _MINUTE))


def store(session: Session, found: MinuteSample) -> None:
    """Write what was found; a minute before that nobody looked at gets no row."""
    _write(session, found.minute, found.values)
    before = update(MinuteStats).where(MinuteStats.minute == found.minute - _MINUTE)
    session.execute(before.values(**found.before))


def list_since(session: Session, moment: datetime) -> list[MinuteStats]:
    """Return the readings of the minutes from that moment on, oldest first; minutes may be missing."""
    return list(session.scalars(select(MinuteStats).where(MinuteStats.minute >= moment).order_by(MinuteStats.minute)))


def forget(session: Session, now: datetime | None = None) -> int:
    """Delete the readings that have been kept long enough; return how many."""
    old = delete(MinuteStats).where(MinuteStats.minute < (now or clock.now()) - timedelta(seconds=KEPT_S))
    return len(session.scalars(old.returning(MinuteStats.minute)).all())


def _write(session: Session, minute: datetime, values: dict[str, Any]) -> None:
    again = update(MinuteStats).where(MinuteStats.minute == minute).values(**values)
    if session.scalar(again.returning(MinuteStats.minute)) is not None:
        return
    try:
        with session.begin_nested():
            session.execute(insert(MinuteStats).values(minute=minute, **values))
    except IntegrityError:  # another process has just written it
        return


def _ended(session: Session, minute: datetime) -> dict[str, Any]:
    """Count what ended in a minute, and say how long what succeeded had waited and run."""
    ended = select(Job.state, Job.created_at, Job.started_at, Job.ended_at)
    ended = ended.where(Job.ended_at >= minute, Job.ended_at < minute + _MINUTE)
    rows = session.execute(ended.order_by(Job.ended_at.desc()).limit(_MOST_ENDED)).all()
    painted = [row for row in rows if row.state == State.SUCCEEDED and row.started_at]
    waits = sorted(max(0.0, (row.started_at - row.created_at).total_seconds()) for row in painted)
    runs = sorted(max(0.0, (row.ended_at - row.started_at).total_seconds()) for row in painted)
    states = [row.state for row in rows]
    return {
        "succeeded": states.count(State.SUCCEEDED),
        "failed": states.count(State.FAILED),
        "wait_p50_s": _share(waits, 0.5),
        "wait_p90_s": _share(waits, 0.9),
        "run_p50_s": _share(runs, 0.5),
        "run_p90_s": _share(runs, 0.9),
    }


def _share(ordered: list[float], share: float) -> float | None:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None
