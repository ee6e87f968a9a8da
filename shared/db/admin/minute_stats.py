"""Statistics of the system, one row per minute, for charts over hours.

Any number of processes may write them: a minute's row is overwritten while the minute lasts, and once more in the next
minute, when it is final. Sampling is separate from storing, because it is too slow for a write transaction.
"""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from shared import clock
from shared.db.jobs import queries
from shared.db.lookups import insert_if_absent
from shared.db.models import Job, MinuteStats
from shared.states import State

#: How long rows are kept, in seconds.
KEPT_S = 7 * 86_400.0
#: Most jobs read of those that ended within a minute.
_MOST_ENDED = 20_000
_MINUTE = timedelta(minutes=1)


class MinuteSample(NamedTuple):
    """The statistics of a minute so far, and the final ones of the minute before."""

    minute: datetime
    values: dict[str, Any]
    before: dict[str, Any]


def sample(session: Session, now: datetime | None = None) -> MinuteSample:
    """Compute the statistics of the minute of `now` and of the one before; write nothing."""
    now = now or clock.now()
    minute = now.replace(second=0, microsecond=0)
    backlog = queries.get_backlog(session)
    oldest_s = max(0.0, (now - backlog.oldest_at).total_seconds()) if backlog.oldest_at else None
    standing = {"waiting": backlog.queued, "running": backlog.running, "oldest_s": oldest_s}
    return MinuteSample(minute, standing | _ended(session, minute), _ended(session, minute - _MINUTE))


def store(session: Session, found: MinuteSample) -> None:
    """Store a sample; the minute before is only updated, not inserted."""
    _write(session, found.minute, found.values)
    before = update(MinuteStats).where(MinuteStats.minute == found.minute - _MINUTE)
    session.execute(before.values(**found.before))


def list_since(session: Session, start: datetime) -> list[MinuteStats]:
    """Return the rows from the minute `start` on, oldest first; minutes may be missing."""
    return list(session.scalars(select(MinuteStats).where(MinuteStats.minute >= start).order_by(MinuteStats.minute)))


def forget(session: Session, now: datetime | None = None) -> int:
    """Delete the rows older than `KEPT_S`; return how many."""
    old = delete(MinuteStats).where(MinuteStats.minute < (now or clock.now()) - timedelta(seconds=KEPT_S))
    return len(session.scalars(old.returning(MinuteStats.minute)).all())


def _write(session: Session, minute: datetime, values: dict[str, Any]) -> None:
    again = update(MinuteStats).where(MinuteStats.minute == minute).values(**values)
    if session.scalar(again.returning(MinuteStats.minute)) is None:
        insert_if_absent(session, MinuteStats, minute=minute, **values)


def _ended(session: Session, minute: datetime) -> dict[str, Any]:
    """Count the jobs that ended in a minute, with percentiles of how long those that succeeded waited and ran."""
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
        "wait_p50_s": _percentile(waits, 0.5),
        "wait_p90_s": _percentile(waits, 0.9),
        "run_p50_s": _percentile(runs, 0.5),
        "run_p90_s": _percentile(runs, 0.9),
    }


def _percentile(ordered: list[float], fraction: float) -> float | None:
    return ordered[min(len(ordered) - 1, int(fraction * len(ordered)))] if ordered else None
