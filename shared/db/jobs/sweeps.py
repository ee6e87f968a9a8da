"""What the sweeper finds and puts right: ended leases, missed deadlines, jobs past their retention.

Each function does a bounded amount in its transaction and says how much; any number may run at once, since
each row is changed on the condition that found it.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete, select, tuple_, update
from sqlalchemy.orm import Session

from shared import clock
from shared.db import sql_clock
from shared.db.jobs import transitions
from shared.db.jobs.events import record, record_move
from shared.db.jobs.transitions import Claim, LostRace
from shared.db.models import Job, Usage, Worker
from shared.painting.results import facts_of
from shared.states import TERMINAL, State

#: Rows put right in one transaction, so that no lock is held for long.
ROWS_AT_ONCE = 200
#: How long the count of a day's work is kept.
_USAGE_KEPT = timedelta(days=40)


def end_leases(session: Session) -> list[tuple[str, State]]:
    """Take jobs from workers that no longer renew; return what became of each."""
    ended = (
        select(Job.id, Job.attempt, Job.worker)
        .where(Job.state == State.RUNNING, Job.lease_expires_at <= sql_clock.now())
        .limit(ROWS_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    moved = []
    for job_id, attempt, worker in session.execute(ended).all():
        try:
            moved.append((job_id, transitions.lose(session, Claim(job_id, attempt, worker or ""), expired_only=True)))
        except LostRace:  # it was renewed or ended meanwhile
            continue
    return moved


def expire(session: Session) -> list[str]:
    """End jobs that have not begun by their deadline: queued → expired."""
    late = select(Job.id).where(Job.state == State.QUEUED, Job.attempt == 0, Job.start_by <= sql_clock.now())
    late = late.limit(ROWS_AT_ONCE).with_for_update(skip_locked=True)
    found = list(session.scalars(late))
    values = {
        "state": State.EXPIRED,
        "ended_at": clock.now(),
        "dispatched_at": None,
        "expires_at": sql_clock.now_plus(Job.retention_s),
    }
    statement = update(Job).where(Job.id.in_(found), Job.state == State.QUEUED).values(**values)
    statement = statement.returning(Job.id, Job.batch_id).execution_options(synchronize_session=False)
    expired = session.execute(statement).all() if found else []
    for job_id, batch_id in expired:
        record(session, job_id, "job_expired", State.EXPIRED, attempt=0)
        record_move(session, batch_id, job_id, State.QUEUED, State.EXPIRED)
    return [job_id for job_id, _ in expired]


def expire_files(session: Session) -> list[str]:
    """Take their files from jobs past their retention; return whose are to be deleted now.

    What the rows say of the pictures stays: their sizes, and since when they are gone.
    """
    due = select(Job).where(Job.files_gone_at.is_(None), Job.expires_at <= sql_clock.now())
    found = list(session.scalars(due.limit(ROWS_AT_ONCE).with_for_update(skip_locked=True)))
    return [job.id for job in found if _take_files(session, job)]


def _take_files(session: Session, job: Job) -> bool:
    left = facts_of(job.result) if job.result else None
    ended = update(Job).where(Job.id == job.id, Job.state.in_(TERMINAL), Job.files_gone_at.is_(None))
    taken = ended.values(files_gone_at=sql_clock.now(), result=left, checkpoint=None).returning(Job.id)
    if session.scalar(taken.execution_options(synchronize_session=False)) is None:
        return False
    record(session, job.id, "files_expired", State(job.state), attempt=job.attempt)
    return True


def forget_jobs(session: Session, *, history_s: float) -> list[str]:
    """Delete jobs that ended that long ago and have no files any more, with their events."""
    old = select(Job.id).where(Job.ended_at <= sql_clock.now_plus(-history_s), Job.files_gone_at.is_not(None))
    found = list(session.scalars(old.limit(ROWS_AT_ONCE).with_for_update(skip_locked=True)))
    if found:
        session.execute(delete(Job).where(Job.id.in_(found), Job.state.in_(TERMINAL)))
    return found


def forget_usage(session: Session) -> int:
    """Delete what was counted on days long past; return how many counts."""
    key = tuple_(Usage.key_id, Usage.day)
    old = select(Usage.key_id, Usage.day).where(Usage.day < (clock.now() - _USAGE_KEPT).date().isoformat())
    found = [tuple(row) for row in session.execute(old.limit(ROWS_AT_ONCE))]
    if found:
        session.execute(delete(Usage).where(key.in_(found)).execution_options(synchronize_session=False))
    return len(found)


def forget_workers(session: Session, *, unseen_s: float) -> None:
    """Delete workers that have said nothing for that long."""
    session.execute(delete(Worker).where(Worker.seen_at <= sql_clock.now_plus(-unseen_s)))
