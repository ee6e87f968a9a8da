"""Recent failures, grouped by error code and by the scale that was being painted.

Only the last `MOST` failures within `SINCE_S` are read, which bounds the cost.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Subquery, func, select
from sqlalchemy.orm import Session

from shared.db import sql_clock
from shared.db.models import Job

#: The window in seconds, and the most failures read.
SINCE_S = 7 * 86_400.0
MOST = 50_000
#: Example jobs per group.
_EXAMPLES = 3


@dataclass(frozen=True)
class FailureGroup:
    """Failures with one code at one scale."""

    code: str
    #: The scale that was being painted, from 1; None before the first step.
    scale: int | None
    count: int
    first_at: datetime
    last_at: datetime
    #: How many workers they occurred on, and one of these.
    workers: int
    worker: str | None
    #: The latest jobs, newest first, and the message of the newest.
    examples: list[str]
    message: str


def list_groups(session: Session, *, most: int = MOST) -> list[FailureGroup]:
    """Return the groups of recent failures, the one that failed last first."""
    last = _last(most)
    key = (last.c.error_code, last.c.scale)
    ended_at, on = last.c.ended_at, last.c.worker
    counts = (func.count(), func.min(ended_at), func.max(ended_at), func.count(on.distinct()), func.min(on))
    counted = session.execute(select(*key, *counts).group_by(*key)).all()
    examples = _examples(session, last)
    found = []
    for code, scale, count, first_at, last_at, workers, worker in counted:
        jobs, messages = zip(*examples[code, scale], strict=True)
        row = (code, scale, count, first_at, last_at, workers, worker)
        found.append(FailureGroup(*row, examples=list(jobs), message=messages[0] or ""))
    return sorted(found, key=lambda group: group.last_at, reverse=True)


def _last(most: int) -> Subquery:
    scale = Job.progress["scale"].as_integer().label("scale")
    failed = select(Job.id, Job.error_code, scale, Job.worker, Job.error_message, Job.ended_at)
    failed = failed.where(Job.error_code.is_not(None), Job.ended_at > sql_clock.now_plus(-SINCE_S))
    return failed.order_by(Job.ended_at.desc()).limit(most).subquery()


def _examples(session: Session, last: Subquery) -> dict[tuple[str, int | None], list[tuple[str, str | None]]]:
    """Return the newest jobs of each group, with their messages."""
    key = (last.c.error_code, last.c.scale)
    rank = func.row_number().over(partition_by=key, order_by=(last.c.ended_at.desc(), last.c.id.desc())).label("rank")
    ranked = select(*key, last.c.id, last.c.error_message, rank).subquery()
    found: dict[tuple[str, int | None], list[tuple[str, str | None]]] = {}
    newest = select(ranked).where(ranked.c.rank <= _EXAMPLES).order_by(ranked.c.rank)
    for code, scale, job_id, message, _ in session.execute(newest):
        found.setdefault((code, scale), []).append((job_id, message))
    return found
