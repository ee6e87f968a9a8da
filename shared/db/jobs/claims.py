"""A worker's hold on jobs: taken, kept, and for a whole group of painted jobs let go of in a few statements.

Each write is conditional, as in `shared.db.jobs.transitions`, which holds the other ends and offers all of this too.

Invariant: a claim's attempt is the fencing token: no write of an attempt that has ended goes through.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import JSON, ColumnElement, Row, Update, bindparam, exists, func, insert, null, or_, select, update
from sqlalchemy.orm import Session

from shared import clock
from shared.db import deliveries, sql_clock
from shared.db.models import Batch, BatchMove, Job, JobEvent, Queue, Worker
from shared.painting.results import Result
from shared.painting.steps import Step
from shared.states import BatchState, DesiredState, State, sources_of


class Claim(NamedTuple):
    """One worker's hold on a job; `attempt` is the fencing token that every later write repeats."""

    job_id: str
    attempt: int
    worker: str


class StopRequests(NamedTuple):
    """What is wished of a running job: by its client, and by the operator of its worker."""

    cancel: bool = False
    drain: bool = False


class LostRace(Exception):
    """Another writer was first; the claim is void and its work is dropped."""


class Finished(NamedTuple):
    """A job that was painted, or taken over: what is written of its end."""

    held: Claim
    result: Result
    reused_from: str | None
    ran_s: float
    progress: Step | None


def claim(session: Session, job_id: str, *, worker: str, weights: dict[str, Any], lease_s: float) -> Claim | None:
    """Take one job, or None, as `claim_all`."""
    return next(iter(claim_all(session, [job_id], worker=worker, weights=weights, lease_s=lease_s)), None)


def claim_all(
    session: Session, job_ids: Collection[str], *, worker: str, weights: dict[str, Any], lease_s: float
) -> list[Claim]:
    """Take jobs: queued → running, raising their attempts and setting their leases; in the order of `job_ids`.

    Left out is what is not queued any more, not due, too late to start, or if this worker, the queue or its batch is
    told to wait.
    """
    due = or_(Job.retry_at.is_(None), Job.retry_at <= sql_clock.now())
    in_time = or_(Job.start_by.is_(None), Job.start_by > sql_clock.now(), Job.attempt > 0)
    held_back = or_(
        exists().where(Queue.paused_at.is_not(None)),
        exists().where(Worker.name == worker, Worker.wish != DesiredState.WORK),
        exists().where(Batch.id == Job.batch_id, Batch.state != BatchState.RUNNING).correlate(Job),
    )
    queued = Job.state.in_(sources_of(State.RUNNING))
    free = select(Job.id).where(Job.id.in_(job_ids), queued, due, in_time, ~held_back).order_by(Job.id)
    statement = (
        update(Job)
        .where(Job.id.in_(free.with_for_update(skip_locked=True, of=Job)), queued)  # so that no two wait for each other
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
    _tell(session, list(taken.values()), "job_claimed", State.QUEUED, State.RUNNING, worker=worker)
    return [Claim(job_id, taken[job_id].attempt, worker) for job_id in job_ids if job_id in taken]


def renew(
    session: Session, held: Claim, *, lease_s: float, ran_s: float | None = None, progress: Step | None = None
) -> StopRequests:
    """Keep a claim for `lease_s` from now, with its latest step; return what is wished of it.

    Raises `LostRace` if the claim no longer holds.
    """
    values: dict[str, Any] = {"lease_expires_at": sql_clock.now_plus(lease_s)}
    values |= {name: value for name, value in (("ran_s", ran_s), ("progress", progress)) if value is not None}
    wish = select(Worker.wish).where(Worker.name == held.worker).scalar_subquery()
    statement = update(Job).where(*held_by(held)).values(**values).returning(Job.cancel_requested_at, wish)
    row = session.execute(statement.execution_options(synchronize_session=False)).one_or_none()
    if row is None:
        raise LostRace(held)
    return StopRequests(cancel=row[0] is not None, drain=row[1] == DesiredState.DRAIN)


def keep_checkpoint(session: Session, held: Claim, checkpoint: dict[str, Any]) -> None:
    """Note where the next attempt shall go on: a job that gets further is not what takes its workers down.

    Raises `LostRace` if the claim no longer holds.
    """
    if changed(session, held_by(held), checkpoint=checkpoint, lost_attempts=0) is None:
        raise LostRace(held)


def succeed_all(session: Session, finished: Sequence[Finished]) -> set[str]:
    """Finish jobs: running → succeeded; return whose claims held, by their ids: the others were lost."""
    ended = {each.held.job_id: each for each in finished}
    running = select(Job.id, Job.attempt, Job.batch_id, Job.webhook).where(
        Job.id.in_(ended), Job.state == State.RUNNING
    )
    locked = session.execute(running.order_by(Job.id).with_for_update())
    done = [job for job in locked if job.attempt == ended[job.id].held.attempt]
    if done:
        session.connection().execute(_succeed(), [_end_of(ended[job.id]) for job in done])
    worker = finished[0].held.worker if finished else ""
    reused = {job_id: {"reused_from": each.reused_from} for job_id, each in ended.items() if each.reused_from}
    _tell(session, done, "job_succeeded", State.RUNNING, State.SUCCEEDED, worker=worker, details=reused)
    for job in done:
        if job.webhook:
            deliveries.add_for_job(session, job.id, State.SUCCEEDED)
    return {job.id for job in done}


@cache  # to build it takes longer than to carry it out
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


def _end_of(ended: Finished) -> dict[str, Any]:
    return {
        "ended_id": ended.held.job_id,
        "its_result": ended.result,
        "reused": ended.reused_from,
        "ran": ended.ran_s,
        "last_step": ended.progress,
        "now": clock.now(),
    }


def _tell(
    session: Session,
    moved: Sequence[Any],
    name: str,
    was: State,
    became: State,
    *,
    worker: str,
    details: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Record what happened to jobs alike, and have their batches count them anew; `details` are by their ids."""
    if moved:
        event = {"name": name, "state": became, "worker": worker, "at": clock.now()}
        own = ({"job_id": job.id, "attempt": job.attempt, "details": details.get(job.id)} for job in moved)
        session.execute(insert(JobEvent), [event | each for each in own])
    counted = [job for job in moved if job.batch_id is not None]
    if counted:
        move = {"was": was, "became": became, "count": 1}
        session.execute(insert(BatchMove), [move | {"batch_id": job.batch_id, "job_id": job.id} for job in counted])


# -- the conditions, and the one way to change a row


def where_state(job_id: str, state: State) -> tuple[ColumnElement[bool], ...]:
    """Write that a job is in a state."""
    return Job.id == job_id, Job.state == state


def held_by(held: Claim) -> tuple[ColumnElement[bool], ...]:
    """Write that a claim holds."""
    return *where_state(held.job_id, State.RUNNING), Job.attempt == held.attempt


def changed(session: Session, where: tuple[ColumnElement[bool], ...], **values: Any) -> Row[int, str | None] | None:
    """Update the one job that `where` names; return its `attempt` and `batch_id`, or None if it names none."""
    if "state" in values:
        values |= {"lease_expires_at": None, "dispatched_at": None}
    if "ended_at" in values:
        values["expires_at"] = sql_clock.now_plus(Job.retention_s)
    statement = update(Job).where(*where).values(**values).returning(Job.attempt, Job.batch_id)
    return session.execute(statement.execution_options(synchronize_session=False)).one_or_none()
