"""Sweeps over jobs: expired leases, missed deadlines, files past their retention, old rows.

Each function changes a bounded number of rows in its transaction and returns them; any number may run at once, since
each row is changed only under the condition that found it.
"""

from datetime import timedelta

from sqlalchemy import delete, select, tuple_, update
from sqlalchemy.orm import Session

from shared import clock
from shared.db import sql_clock, stored_bytes
from shared.db.jobs import transitions
from shared.db.jobs.claims import Claim, LostRace
from shared.db.jobs.events import record
from shared.db.lookups import delete_some
from shared.db.models import Job, Usage, Worker
from shared.painting.results import facts_of
from shared.states import TERMINAL, State

#: Rows changed in one transaction, so that no lock is held for long.
ROWS_AT_ONCE = 200
#: How long the work counted per key and day is kept.
_USAGE_KEPT = timedelta(days=40)


def end_leases(session: Session) -> list[tuple[str, State]]:
    """Take jobs whose leases have expired from their workers; return each with its new state."""
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
        except LostRace:  # it was renewed or ended in the meantime
            continue
    return moved


def expire(session: Session) -> list[str]:
    """End jobs that have not begun by their deadline: queued → expired."""
    late = select(Job.id).where(Job.state == State.QUEUED, Job.attempt == 0, Job.start_by <= sql_clock.now())
    late = late.limit(ROWS_AT_ONCE).with_for_update(skip_locked=True)
    found = list(session.scalars(late))
    return transitions.end_queued(session, found, "job_expired", State.EXPIRED) if found else []


def expire_files(session: Session) -> list[str]:
    """Mark the files of jobs past their retention as gone; return the jobs whose files must now be deleted.

    The rows keep a summary of the result, such as its size.
    """
    due = select(Job).where(Job.files_gone_at.is_(None), Job.expires_at <= sql_clock.now())
    found = list(session.scalars(due.limit(ROWS_AT_ONCE).with_for_update(skip_locked=True)))
    return [job.id for job in found if _mark_gone(session, job)]


def _mark_gone(session: Session, job: Job) -> bool:
    kept = facts_of(job.result) if job.result else None
    ended = update(Job).where(Job.id == job.id, Job.state.in_(TERMINAL), Job.files_gone_at.is_(None))
    taken = ended.values(files_gone_at=sql_clock.now(), result=kept, checkpoint=None).returning(Job.id)
    if session.scalar(taken.execution_options(synchronize_session=False)) is None:
        return False
    stored_bytes.add(session, {job.owner: -stored_bytes.bytes_of(job.result)})
    record(session, job.id, "files_expired", State(job.state), attempt=job.attempt)
    return True


def forget_jobs(session: Session, *, history_s: float) -> list[str]:
    """Delete jobs that ended more than `history_s` ago and whose files are gone, with their events; return which."""
    is_old = Job.ended_at <= sql_clock.now_plus(-history_s)
    return delete_some(session, Job.id, is_old, Job.files_gone_at.is_not(None), limit=ROWS_AT_ONCE)


def forget_usage(session: Session) -> int:
    """Delete the work counted on days long past; return how many rows."""
    key = tuple_(Usage.key_id, Usage.day)
    old = select(Usage.key_id, Usage.day).where(Usage.day < (clock.now() - _USAGE_KEPT).date().isoformat())
    found = [tuple(row) for row in session.execute(old.limit(ROWS_AT_ONCE))]
    if found:
        session.execute(delete(Usage).where(key.in_(found)).execution_options(synchronize_session=False))
    return len(found)


def forget_workers(session: Session, *, unseen_s: float) -> None:
    """Delete workers without a heartbeat for `unseen_s`."""
    session.execute(delete(Worker).where(Worker.seen_at <= sql_clock.now_plus(-unseen_s)))
