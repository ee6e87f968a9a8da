"""Every write to a job: one conditional UPDATE, plus one event row in the same transaction.

The WHERE of each UPDATE names the states it may leave and, for a worker, the attempt it holds. No row means
"lost the race": another writer was first, nothing was changed, and the caller drops its work. What the sweeper
writes is in `shared.db.sweeps`, which keeps the same rule.

Invariant: no other module writes to the tables `jobs` and `job_events`, except `shared.dispatch`, which
stamps `dispatched_at`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, delete, exists, func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared import clock
from shared.db import moments
from shared.db.job_events import record
from shared.db.models import Job, Queue, Worker
from shared.errors import AtelierError, IdTaken, IllegalTransition, NotFound, WorkerLost
from shared.states import TERMINAL, State, Wish, sources_of

#: A job whose attempts are lost this often in a row takes its workers down by itself, and is given up.
MAX_LOST_ATTEMPTS = 3


class Claim(NamedTuple):
    """One worker's hold on a job; `attempt` is the fencing token that every later write repeats."""

    job_id: str
    attempt: int
    worker: str


class Wishes(NamedTuple):
    """What is wished of a running job: by its client, and by the operator of its worker."""

    cancel: bool = False
    drain: bool = False


class LostRace(Exception):
    """Another writer was first; the claim is void and its work is dropped."""


# -- the client's side


def create(session: Session, job: Job) -> None:
    """Add a new job: nothing → queued. Raises `IdTaken` if there is one of its id."""
    job.state = State.QUEUED
    job.attempt = 0
    job.created_at = clock.now()
    job.place = job.place or job.id
    session.add(job)
    try:
        session.flush()
    except IntegrityError as error:
        raise IdTaken(f"There is something of the id {job.id} already.") from error
    record(session, job.id, "job_queued", State.QUEUED, attempt=0)


def request_cancel(session: Session, job_id: str) -> State:
    """Cancel a queued job at once, wish a running one canceled; return the state it is in now.

    Raises `NotFound`, and `IllegalTransition` for a job that ended otherwise. Wishing twice is wishing once.
    """
    state = session.scalar(select(Job.state).where(Job.id == job_id).with_for_update())
    now = clock.now()
    if state == State.QUEUED:
        values = {"state": State.CANCELED, "cancel_requested_at": now, "ended_at": now}
        attempt = _attempt_of(session, _where_state(job_id, State.QUEUED), **values)
        record(session, job_id, "job_canceled", State.CANCELED, attempt=attempt or 0)
        return State.CANCELED
    if state == State.RUNNING:
        unwished = (*_where_state(job_id, State.RUNNING), Job.cancel_requested_at.is_(None))
        attempt = _attempt_of(session, unwished, cancel_requested_at=now)
        if attempt is not None:
            record(session, job_id, "cancel_requested", State.RUNNING, attempt=attempt)
        return State.RUNNING
    if state is None:
        raise NotFound(f"There is no job {job_id}.")
    if state != State.CANCELED:
        raise IllegalTransition(f"The job has {state} and cannot be canceled.", state=state)
    return State.CANCELED


def remove(session: Session, job_id: str) -> None:
    """Delete an ended job with its events; raise `NotFound`, and `IllegalTransition` for one that has not ended."""
    ended = delete(Job).where(Job.id == job_id, Job.state.in_(TERMINAL)).returning(Job.id)
    if session.scalar(ended.execution_options(synchronize_session=False)) is None:
        state = session.scalar(select(Job.state).where(Job.id == job_id))
        if state is None:
            raise NotFound(f"There is no job {job_id}.")
        raise IllegalTransition(f"The job is {state}; cancel it before it is deleted.", state=state)


# -- the worker's side


def claim(session: Session, job_id: str, *, worker: str, weights: dict[str, Any], lease_s: float) -> Claim | None:
    """Take a job: queued → running, raising its attempt and setting its lease.

    None if it is not queued any more, not due, too late to start, or if this worker or the queue is told to wait.
    """
    due = or_(Job.retry_at.is_(None), Job.retry_at <= moments.now())
    in_time = or_(Job.start_by.is_(None), Job.start_by > moments.now(), Job.attempt > 0)
    held_back = or_(
        exists().where(Queue.paused_at.is_not(None)), exists().where(Worker.name == worker, Worker.wish != Wish.WORK)
    )
    statement = (
        update(Job)
        .where(Job.id == job_id, Job.state.in_(sources_of(State.RUNNING)), due, in_time, ~held_back)
        .values(
            state=State.RUNNING,
            attempt=Job.attempt + 1,
            worker=worker,
            weights=weights,
            lease_expires_at=moments.after(lease_s),
            dispatched_at=None,
            retry_at=None,
            started_at=func.coalesce(Job.started_at, moments.now()),
        )
        .returning(Job.attempt)
        .execution_options(synchronize_session=False)
    )
    attempt = session.scalar(statement)
    if attempt is None:
        return None
    record(session, job_id, "job_claimed", State.RUNNING, attempt=attempt, worker=worker)
    return Claim(job_id, attempt, worker)


def renew(
    session: Session, held: Claim, *, lease_s: float, ran_s: float | None = None, progress: dict[str, Any] | None = None
) -> Wishes:
    """Keep a claim for `lease_s` from now, with its latest step; return what is wished of it.

    Raises `LostRace` if the claim no longer holds.
    """
    values: dict[str, Any] = {"lease_expires_at": moments.after(lease_s)}
    values |= {name: value for name, value in (("ran_s", ran_s), ("progress", progress)) if value is not None}
    wish = select(Worker.wish).where(Worker.name == held.worker).scalar_subquery()
    statement = update(Job).where(*_held(held)).values(**values).returning(Job.cancel_requested_at, wish)
    row = session.execute(statement.execution_options(synchronize_session=False)).one_or_none()
    if row is None:
        raise LostRace(held)
    return Wishes(cancel=row[0] is not None, drain=row[1] == Wish.DRAIN)


def keep_checkpoint(session: Session, held: Claim, checkpoint: dict[str, Any]) -> None:
    """Note where the next attempt shall go on: a job that gets further is not what takes its workers down.

    Raises `LostRace` if the claim no longer holds.
    """
    _update_held(session, held, {"checkpoint": checkpoint, "lost_attempts": 0})


def succeed(session: Session, held: Claim, *, result: dict[str, Any]) -> None:
    """Finish a painted job: running → succeeded. Raises `LostRace` if the claim no longer holds."""
    _finish(session, held, State.SUCCEEDED, "job_succeeded", result=result)


def fail(session: Session, held: Claim, error: AtelierError, *, result: dict[str, Any] | None = None) -> None:
    """End a job that cannot be painted: running → failed, with what was painted if there is a picture.

    Raises `LostRace` if the claim no longer holds.
    """
    values = error_values(error) | {"result": result}
    _finish(session, held, State.FAILED, "job_failed", {"code": error.code, "message": error.detail}, **values)


def stop(session: Session, held: Claim, *, result: dict[str, Any] | None) -> None:
    """End a job as its client wished: running → canceled, with what was painted so far as partial result.

    Raises `LostRace` if the claim no longer holds.
    """
    _finish(session, held, State.CANCELED, "job_canceled", result=result)


def give_back(session: Session, held: Claim, *, reason: str) -> State:
    """Return an unfinished job to the queue: running → queued, or canceled if that is its client's wish.

    Raises `LostRace` if the claim is void.
    """
    return _return(session, held, _held(held), {}, "job_returned", {"reason": reason})


def retry_later(session: Session, held: Claim, error: AtelierError, *, after_s: float) -> State:
    """Return a job whose error may pass: running → queued, not to be sent before `after_s`, or canceled as wished.

    Raises `LostRace` if the claim is void.
    """
    values: dict[str, Any] = {"retries": Job.retries + 1, "retry_at": moments.after(after_s)}
    details = {"code": error.code, "message": error.detail, "after_s": round(after_s, 3)}
    return _return(session, held, _held(held), values, "job_retried", details)


def lose(session: Session, held: Claim, *, expired_only: bool = False) -> State:
    """Take a job from a worker that is gone: running → queued, canceled as wished, or failed the third time.

    With `expired_only` the lease must have ended. Raises `LostRace` if the attempt has ended otherwise.
    """
    where = _held(held)
    if expired_only:
        where = (*where, Job.lease_expires_at <= moments.now())
    found = select(Job.lost_attempts, Job.progress, Job.checkpoint).where(*where).with_for_update()
    row = session.execute(found).one_or_none()
    if row is None:
        raise LostRace(held)
    lost, progress, checkpoint = row
    if lost + 1 < MAX_LOST_ATTEMPTS:
        details = {"step": (progress or {}).get("step", 0), "resumes_after": (checkpoint or {}).get("step", 0)}
        return _return(session, held, where, {"lost_attempts": lost + 1}, "claim_lost", details)
    error = WorkerLost(f"{MAX_LOST_ATTEMPTS} workers in a row were lost while they painted this job.")
    values = {"state": State.FAILED, "ended_at": clock.now(), "lost_attempts": lost + 1, **error_values(error)}
    _update_held(session, held, values, where)
    record(session, held.job_id, "job_failed", State.FAILED, attempt=held.attempt, details={"code": error.code})
    return State.FAILED


def unsend(session: Session, job_id: str) -> None:
    """Have a queued job sent again at once: its message came to a worker that could not take it."""
    session.execute(update(Job).where(*_where_state(job_id, State.QUEUED)).values(dispatched_at=None))


# -- what they share


def error_values(error: AtelierError) -> dict[str, Any]:
    """Return the columns that say why a job failed."""
    return {"error_code": error.code, "error_message": error.detail[:2000], "error_retryable": error.retryable}


def _where_state(job_id: str, state: State) -> tuple[ColumnElement[bool], ...]:
    return Job.id == job_id, Job.state == state


def _held(held: Claim) -> tuple[ColumnElement[bool], ...]:
    return *_where_state(held.job_id, State.RUNNING), Job.attempt == held.attempt


def _attempt_of(session: Session, where: tuple[ColumnElement[bool], ...], **values: Any) -> int | None:
    """Update the one job that `where` names and return its attempt, or None if it names none."""
    if "state" in values:
        values |= {"lease_expires_at": None, "dispatched_at": None}
    if "ended_at" in values:
        values["expires_at"] = moments.after(Job.retention_s)
    statement = update(Job).where(*where).values(**values).returning(Job.attempt)
    return session.scalar(statement.execution_options(synchronize_session=False))


def _update_held(
    session: Session, held: Claim, values: dict[str, Any], where: tuple[ColumnElement[bool], ...] | None = None
) -> None:
    if _attempt_of(session, where or _held(held), **values) is None:
        raise LostRace(held)


def _return(
    session: Session,
    held: Claim,
    where: tuple[ColumnElement[bool], ...],
    values: dict[str, Any],
    name: str,
    details: dict[str, Any] | None,
) -> State:
    """Move running → queued; or → canceled, since a wish to cancel outlives the attempt it was made in."""
    back = {"state": State.QUEUED, "worker": None, **values}
    if _attempt_of(session, (*where, Job.cancel_requested_at.is_(None)), **back) is not None:
        record(session, held.job_id, name, State.QUEUED, attempt=held.attempt, worker=held.worker, details=details)
        return State.QUEUED
    _update_held(session, held, {"state": State.CANCELED, "ended_at": clock.now()}, where)
    record(session, held.job_id, "job_canceled", State.CANCELED, attempt=held.attempt, worker=held.worker)
    return State.CANCELED


def _finish(
    session: Session, held: Claim, state: State, name: str, details: dict[str, Any] | None = None, **values: Any
) -> None:
    values |= {"state": state, "ended_at": clock.now(), "checkpoint": None}
    _update_held(session, held, values)
    record(session, held.job_id, name, state, attempt=held.attempt, worker=held.worker, details=details)
