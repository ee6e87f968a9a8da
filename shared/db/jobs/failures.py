"""The last failures, grouped by the error's code and by how far painting was.

Limits: those of the last `SINCE_S` and of these the last `MOST`, so that the answer costs the same at any size.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Subquery, func, select
from sqlalchemy.orm import Session

from shared.db import sql_clock
from shared.db.models import Job

#: How far back is looked, in seconds, and at how many failures at most.
SINCE_S = 7 * 86_400.0
MOST = 50_000
#: Jobs named of each group.
_EXAMPLES = 3


@dataclass(frozen=True)
class Group:
    """Failures of one code at one scale."""

    code: str
    #: The scale that was being painted, from 1 on; None if no step was told of yet.
    scale: int | None
    count: int
    first_at: datetime
    last_at: datetime
    #: How many workers they were on, and one of them.
    workers: int
    worker: str | None
    #: The last ones' jobs, the newest first, and what the newest says.
    examples: list[str]
    message: str


def groups(session: Session, *, most: int = MOST) -> list[Group]:
    """Return the groups of the last failures, that which was met last first."""
    last = _last(most)
    key = (last.c.error_code, last.c.scale)
    ended_at, on = last.c.ended_at, last.c.worker
    counts = (func.count(), func.min(ended_at), func.max(ended_at), func.count(on.distinct()), func.min(on))
    counted = session.execute(select(*key, *counts).group_by(*key)).all()
    examples = _examples(session, last)
    found = []
    for code, scale, count, first_at, last_at, workers, worker in counted:
        jobs, messages = zip(*examples[code, scale], strict=True)
        found.append(
            Group(
                code, scale, count, first_at, last_at, workers, worker, examples=list(jobs), message=messages[0] or ""
            )
        )
    return sorted(found, key=lambda group: group.last_at, reverse=True)


def _last(most: int) -> Subquery:
    scale = Job.progress["scale"].as_integer().label("scale")
    failed = select(Job.id, Job.error_code, scale, Job.worker, Job.error_message, Job.ended_at)
    failed = failed.where(Job.error_code.is_not(None), Job.ended_at > sql_clock.now_plus(-SINCE_S))
    return failed.order_by(Job.ended_at.desc()).limit(most).subquery()


def _examples(session: Session, last: Subquery) -> dict[tuple[str, int | None], list[tuple[str, str | None]]]:
    """Find the newest jobs of each group, with their messages."""
    key = (last.c.error_code, last.c.scale)
    rank = func.row_number().over(partition_by=key, order_by=(last.c.ended_at.desc(), last.c.id.desc())).label("rank")
    ranked = select(*key, last.c.id, last.c.error_message, rank).subquery()
    found: dict[tuple[str, int | None], list[tuple[str, str | None]]] = {}
    newest = select(ranked).where(ranked.c.rank <= _EXAMPLES).order_by(ranked.c.rank)
    for code, scale, job_id, message, _ in session.execute(newest):
        found.setdefault((code, scale), []).append((job_id, message))
    return found
