"""Every write to a job: one conditional UPDATE, plus one event row in the same transaction.

The WHERE of each UPDATE names the states it may leave and, for a worker, the attempt it holds. No row means
"lost the race": another writer was first, nothing was changed, and the caller drops its work. What the sweeper
writes is in `shared.db.jobs.sweeps`, which keeps the same rule.

Invariant: no other module writes to the tables `jobs` and `job_events`, except `shared.db.jobs.dispatch_order`, which
stamps `dispatched_at`, and `shared.db.batches.items`, which does in bulk what is done here one by one.
"""

from __future__ import annotations

import traceback
from typing import Any

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared import clock
from shared.db import sql_clock
from shared.db.jobs import dispatch_order
from shared.db.jobs.claims import (
    Claim,
    LostRace,
    StopRequests,
    changed,
    claim,
    claim_all,
    held_by,
    keep_checkpoint,
    renew,
    succeed_all,
    where_state,
)
from shared.db.jobs.events import record, record_move
from shared.db.models import Job
from shared.errors import AtelierError, IdTaken, IllegalTransition, NotFound, WorkerLost
from shared.painting.results import Result
from shared.states import TERMINAL, State

#: Of a traceback that many last characters are kept.
_TRACE = 8_000

__all__ = [
    "Claim",
    "LostRace",
    "StopRequests",
    "claim",
    "claim_all",
    "create",
    "error_values",
    "fail",
    "give_back",
    "keep_checkpoint",
    "lose",
    "remove",
    "renew",
    "request_cancel",
    "retry_later",
    "stop",
    "succeed",
    "succeed_all",
]

#: A job whose attempts are lost this often in a row takes its workers down by itself, and is given up.
MAX_LOST_ATTEMPTS = 3


# -- the client's side


def create(session: Session, job: Job) -> None:
    """Add a new job: nothing → queued. Raises `IdTaken` if there is one of its id."""
    job.state = State.QUEUED
    job.attempt = 0
    job.created_at = clock.now()
    job.sort_id = job.sort_id or job.id
    job.queue_key = job.queue_key or dispatch_order.owner_queue_key(job.owner)
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
        job = changed(session, where_state(job_id, State.QUEUED), **values)
        assert job is not None  # its row is locked
        record(session, job_id, "job_canceled", State.CANCELED, attempt=job.attempt)
        record_move(session, job.batch_id, job_id, State.QUEUED, State.CANCELED)
        return State.CANCELED
    if state == State.RUNNING:
        unwished = (*where_state(job_id, State.RUNNING), Job.cancel_requested_at.is_(None))
        job = changed(session, unwished, cancel_requested_at=now)
        if job is not None:
            record(session, job_id, "cancel_requested", State.RUNNING, attempt=job.attempt)
        return State.RUNNING
    if state is None:
        raise NotFound(f"There is no job {job_id}.")
    if state != State.CANCELED:
        raise IllegalTransition(f"The job has {state} and cannot be canceled.", state=state)
    return State.CANCELED


def remove(session: Session, job_id: str) -> None:
    """Delete an ended job with its events; raise `NotFound`, and `IllegalTransition` for one that has not ended."""
    ended = delete(Job).where(Job.id == job_id, Job.state.in_(TERMINAL)).returning(Job.state, Job.batch_id)
    removed = session.execute(ended.execution_options(synchronize_session=False)).one_or_none()
    if removed is not None:
        record_move(session, removed.batch_id, job_id, removed.state, None)
    else:
        state = session.scalar(select(Job.state).where(Job.id == job_id))
        if state is None:
            raise NotFound(f"There is no job {job_id}.")
        raise IllegalTransition(f"The job is {state}; cancel it before it is deleted.", state=state)


# -- the worker's side


def succeed(session: Session, held: Claim, *, result: Result, reused_from: str | None = None) -> None:
    """Finish a job, painted or taken over: running → succeeded. Raises `LostRace` if the claim no longer holds."""
    details = {"reused_from": reused_from} if reused_from else None
    _finish(session, held, State.SUCCEEDED, "job_succeeded", details, result=result, reused_from=reused_from)


def fail(session: Session, held: Claim, error: AtelierError, *, result: Result | None = None) -> None:
    """End a job that cannot be painted: running → failed, with what was painted if there is a picture.

    Raises `LostRace` if the claim no longer holds.
    """
    details = told_of(error)
    _finish(session, held, State.FAILED, "job_failed", details, result=result, **error_values(error))


def stop(session: Session, held: Claim, *, result: Result | None) -> None:
    """End a job as its client wished: running → canceled, with what was painted so far as partial result.

    Raises `LostRace` if the claim no longer holds.
    """
    _finish(session, held, State.CANCELED, "job_canceled", result=result)


def give_back(session: Session, held: Claim, *, reason: str) -> State:
    """Return an unfinished job to the queue: running → queued, or canceled if that is its client's wish.

    Raises `LostRace` if the claim is void.
    """
    return _return(session, held, held_by(held), {}, "job_returned", {"reason": reason})


def retry_later(session: Session, held: Claim, error: AtelierError, *, after_s: float) -> State:
    """Return a job whose error may pass: running → queued, not to be sent before `after_s`, or canceled as wished.

    Raises `LostRace` if the claim is void.
    """
    values: dict[str, Any] = {"retries": Job.retries + 1, "retry_at": sql_clock.now_plus(after_s)}
    details = {**told_of(error), "after_s": round(after_s, 3)}
    return _return(session, held, held_by(held), values, "job_retried", details)


def lose(session: Session, held: Claim, *, expired_only: bool = False) -> State:
    """Take a job from a worker that is gone: running → queued, canceled as wished, or failed the third time.

    With `expired_only` the lease must have ended. Raises `LostRace` if the attempt has ended otherwise.
    """
    where = held_by(held)
    if expired_only:
        where = (*where, Job.lease_expires_at <= sql_clock.now())
    found = select(Job.lost_attempts, Job.progress, Job.checkpoint).where(*where).with_for_update()
    row = session.execute(found).one_or_none()
    if row is None:
        raise LostRace(held)
    lost, progress, checkpoint = row
    if lost + 1 < MAX_LOST_ATTEMPTS:
        details = {"step": progress["step"] if progress else 0, "resumes_after": (checkpoint or {}).get("step", 0)}
        return _return(session, held, where, {"lost_attempts": lost + 1}, "claim_lost", details)
    error = WorkerLost(f"{MAX_LOST_ATTEMPTS} workers in a row were lost while they painted this job.")
    values = {"state": State.FAILED, "ended_at": clock.now(), "lost_attempts": lost + 1, **error_values(error)}
    _move(session, held, where, "job_failed", {"code": error.code}, **values)
    return State.FAILED


# -- what they share


def told_of(error: AtelierError) -> dict[str, Any]:
    """Return what an event keeps of an error: its code, its words and, for operators, the end of its traceback."""
    trace = "".join(traceback.format_exception(error)) if error.__traceback__ or error.__cause__ else ""
    return {"code": error.code, "message": error.detail, **({"traceback": trace[-_TRACE:]} if trace else {})}


def error_values(error: AtelierError) -> dict[str, Any]:
    """Return the columns that say why a job failed."""
    return {"error_code": error.code, "error_message": error.detail[:2000], "error_retryable": error.retryable}


def _move(
    session: Session,
    held: Claim,
    where: tuple[ColumnElement[bool], ...],
    name: str,
    details: dict[str, Any] | None = None,
    **values: Any,
) -> None:
    """Move a running job to another state and record it; raise `LostRace` if `where` names it no more."""
    state = State(values["state"])
    job = changed(session, where, **values)
    if job is None:
        raise LostRace(held)
    record(session, held.job_id, name, state, attempt=held.attempt, worker=held.worker, details=details)
    record_move(session, job.batch_id, held.job_id, State.RUNNING, state)


def _return(
    session: Session,
    held: Claim,
    where: tuple[ColumnElement[bool], ...],
    values: dict[str, Any],
    name: str,
    details: dict[str, Any] | None,
) -> State:
    """Move running → queued; or → canceled, since a wish to cancel outlives the attempt it was made in."""
    unwished = (*where, Job.cancel_requested_at.is_(None))
    try:
        _move(session, held, unwished, name, details, state=State.QUEUED, worker=None, **values)
        return State.QUEUED
    except LostRace:
        _move(session, held, where, "job_canceled", state=State.CANCELED, ended_at=clock.now())
        return State.CANCELED


def _finish(
    session: Session, held: Claim, state: State, name: str, details: dict[str, Any] | None = None, **values: Any
) -> None:
    _move(session, held, held_by(held), name, details, state=state, ended_at=clock.now(), checkpoint=None, **values)
