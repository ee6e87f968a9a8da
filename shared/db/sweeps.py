"""What the sweeper finds and puts right: ended leases, missed deadlines, jobs past their retention.

Each function does a bounded amount in its transaction and says how much; any number may run at once, since
each row is changed on the condition that found it.
"""

from __future__ import annotations

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from shared import clock
from shared.db import jobs, moments
from shared.db.jobs import Claim, LostRace
from shared.db.models import Job, Worker
from shared.states import TERMINAL, State

#: Rows put right in one transaction, so that no lock is held for long.
ROWS_AT_ONCE = 200


def end_leases(session: Session) -> list[tuple[str, State]]:
    """Take jobs from workers that no longer renew; return what became of each."""
    ended = (
        select(Job.id, Job.attempt, Job.worker)
        .where(Job.state == State.RUNNING, Job.lease_expires_at <= moments.now())
        .limit(ROWS_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    moved = []
    for job_id, attempt, worker in session.execute(ended).all():
        try:
            moved.append((job_id, jobs.lose(session, Claim(job_id, attempt, worker or ""), expired_only=True)))
        except LostRace:  # it was renewed or ended meanwhile
            continue
    return moved


def expire(session: Session) -> list[str]:
    """End jobs that have not begun by their deadline: queued → expired."""
    late = select(Job.id).where(Job.state == State.QUEUED, Job.attempt == 0, Job.start_by <= moments.now())
    late = late.limit(ROWS_AT_ONCE).with_for_update(skip_locked=True)
    found = list(session.scalars(late))
    values = {
        "state": State.EXPIRED,
        "ended_at": clock.now(),
        "dispatched_at": None,
        "expires_at": moments.after(Job.retention_s),
    }
    statement = update(Job).where(Job.id.in_(found), Job.state == State.QUEUED).values(**values).returning(Job.id)
    expired = list(session.scalars(statement.execution_options(synchronize_session=False))) if found else []
    for job_id in expired:
        jobs.record(session, job_id, "job_expired", State.EXPIRED, attempt=0)
    return expired


def forget_jobs(session: Session, *, retention_s: float) -> list[str]:
    """Delete jobs that ended longer ago than their retention, with their events; their files are orphans then."""
    old = select(Job.id).where(Job.state.in_(TERMINAL), Job.ended_at <= moments.after(-retention_s))
    found = list(session.scalars(old.limit(ROWS_AT_ONCE).with_for_update(skip_locked=True)))
    if found:
        session.execute(delete(Job).where(Job.id.in_(found)))
    return found


def forget_workers(session: Session, *, unseen_s: float) -> None:
    """Delete workers that have said nothing for that long."""
    session.execute(delete(Worker).where(Worker.seen_at <= moments.after(-unseen_s)))
