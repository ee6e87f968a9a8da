"""Claims: a worker's lease on jobs, and finishing a whole group of painted jobs in a few statements.

Each write is conditional, as in `shared.db.jobs.transitions`, which holds the other ways in which a claim ends.

Invariant: a claim's attempt is its fencing token: an attempt that has ended can write nothing.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import JSON, ColumnElement, Row, Update, bindparam, exists, func, null, or_, select, update
from sqlalchemy.orm import Session

from shared import clock
from shared.db import sql_clock, stored_bytes
from shared.db.jobs.events import record_all
from shared.db.models import Batch, Job, Queue, Worker
from shared.painting.results import Result
from shared.painting.steps import Step
from shared.states import BatchState, DesiredState, State, sources_of


class Claim(NamedTuple):
    """A worker's hold on a job; every later write repeats `attempt`, the fencing token."""

    job_id: str
    attempt: int
    worker: str


class StopRequests(NamedTuple):
    """Requests to stop a running job: by its client, and by the operator of its worker."""

    cancel: bool = False
    drain: bool = False


class LostRace(Exception):
    """Another writer was first; the claim is void and its work is dropped."""


class Finished(NamedTuple):
    """The result of a job that was painted, or copied from an identical one."""

    claim: Claim
    result: Result
    reused_from: str | None
    ran_s: float
    progress: Step | None


def claim_jobs(
    session: Session, job_ids: Collection[str], *, worker: str, weights: dict[str, Any], lease_s: float
) -> list[Claim]:
    """Claim jobs: queued → running, with the next attempt and a lease; return the claims in the order of `job_ids`.

    A job is skipped if it is not queued, not due or past its deadline, or if this worker, the queue or its batch is
    paused.
    """
    due = or_(Job.retry_at.is_(None), Job.retry_at <= sql_clock.now())
    in_time = or_(Job.start_by.is_(None), Job.start_by > sql_clock.now(), Job.attempt > 0)
    paused = or_(
        exists().where(Queue.paused_at.is_not(None)),
        exists().where(Worker.name == worker, Worker.desired_state != DesiredState.WORK),
        exists().where(Batch.id == Job.batch_id, Batch.state != BatchState.RUNNING).correlate(Job),
    )
    queued = Job.state.in_(sources_of(State.RUNNING))
    free = select(Job.id).where(Job.id.in_(job_ids), queued, due, in_time, ~paused).order_by(Job.id)
    statement = (
        update(Job)
        .where(Job.id.in_(free.with_for_update(skip_locked=True, of=Job)), queued)  # so that two claims never deadlock
        .values(
            state=State.RUNNING,
            attempt=Job.attempt + 1,
            worker=worker,
            weights=weights,
            lease_expires_at=sql_clock.now_plus(lease_s),
            dispatched_at=None,
            retry_at=None,
            started_at=func.coalesce(Job.started_at, sql_clock.now()),
        )
        .returning(Job.id, Job.attempt, Job.batch_id)
        .execution_options(synchronize_session=False)
    )
    taken = {job.id: job for job in session.execute(statement)}
    record_all(session, list(taken.values()), "job_claimed", State.QUEUED, State.RUNNING, worker=worker)
    return [Claim(job_id, taken[job_id].attempt, worker) for job_id in job_ids if job_id in taken]


def renew(
    session: Session, claim: Claim, *, lease_s: float, ran_s: float | None = None, progress: Step | None = None
) -> StopRequests:
    """Extend a claim to `lease_s` from now and save its latest step; return the requests to stop; raise `LostRace`."""
    values: dict[str, Any] = {"lease_expires_at": sql_clock.now_plus(lease_s)}
    values |= {name: value for name, value in (("ran_s", ran_s), ("progress", progress)) if value is not None}
    desired = select(Worker.desired_state).where(Worker.name == claim.worker).scalar_subquery()
    statement = update(Job).where(*held_by(claim)).values(**values).returning(Job.cancel_requested_at, desired)
    row = session.execute(statement.execution_options(synchronize_session=False)).one_or_none()
    if row is None:
        raise LostRace(claim)
    return StopRequests(cancel=row[0] is not None, drain=row[1] == DesiredState.DRAIN)


def save_checkpoint(session: Session, claim: Claim, checkpoint: dict[str, Any]) -> None:
    """Save where the next attempt resumes; that resets the count of lost attempts. Raises `LostRace`."""
    if update_job(session, held_by(claim), checkpoint=checkpoint, lost_attempts=0) is None:
        raise LostRace(claim)


def succeed_all(session: Session, finished: Sequence[Finished]) -> set[str]:
    """Finish jobs: running → succeeded; return the ids of those whose claims were still valid."""
    ended = {each.claim.job_id: each for each in finished}
    running = select(Job.id, Job.attempt, Job.batch_id, Job.webhook, Job.owner)
    running = running.where(Job.id.in_(ended), Job.state == State.RUNNING).order_by(Job.id).with_for_update()
    done = [job for job in session.execute(running) if job.attempt == ended[job.id].claim.attempt]
    if done:
        session.connection().execute(_succeed(), [_end_values(ended[job.id]) for job in done])
    kept: Counter[str] = Counter()
    for job in done:
        kept[job.owner] += stored_bytes.bytes_of(ended[job.id].result)
    stored_bytes.add(session, kept)
    worker = finished[0].claim.worker if finished else None
    reused = {job_id: {"reused_from": each.reused_from} for job_id, each in ended.items() if each.reused_from}
    record_all(session, done, "job_succeeded", State.RUNNING, State.SUCCEEDED, worker=worker, details=reused)
    return {job.id for job in done}


@cache  # building the statement takes longer than executing it
def _succeed() -> Update:
    return (
        update(Job)
        .where(Job.id == bindparam("ended_id"))
        .values(
            state=State.SUCCEEDED,
            result=bindparam("its_result"),
            reused_from=bindparam("reused"),
            ran_s=bindparam("ran"),
            progress=func.coalesce(bindparam("last_step", type_=JSON(none_as_null=True)), Job.progress),
            ended_at=bindparam("now"),
            expires_at=sql_clock.now_plus(Job.retention_s),
            lease_expires_at=None,
            checkpoint=null(),
        )
    )


def _end_values(ended: Finished) -> dict[str, Any]:
    return {
        "ended_id": ended.claim.job_id,
        "its_result": ended.result,
        "reused": ended.reused_from,
        "ran": ended.ran_s,
        "last_step": ended.progress,
        "now": clock.now(),
    }


# -- conditions, and the conditional update of one job


def in_state(job_id: str, state: State) -> tuple[ColumnElement[bool], ...]:
    """Return the condition that a job is in a state."""
    return Job.id == job_id, Job.state == state


def held_by(claim: Claim) -> tuple[ColumnElement[bool], ...]:
    """Return the condition that a claim is valid."""
    return *in_state(claim.job_id, State.RUNNING), Job.attempt == claim.attempt


def update_job(
    session: Session, where: tuple[ColumnElement[bool], ...], **values: Any
) -> Row[int, str | None, str] | None:
    """Update the job that matches `where`; return its `attempt`, `batch_id` and `owner`, or None if none matches."""
    if "state" in values:
        values |= {"lease_expires_at": None, "dispatched_at": None}
    if "ended_at" in values:
        values["expires_at"] = sql_clock.now_plus(Job.retention_s)
    statement = update(Job).where(*where).values(**values).returning(Job.attempt, Job.batch_id, Job.owner)
    return session.execute(statement.execution_options(synchronize_session=False)).one_or_none()
