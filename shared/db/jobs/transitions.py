"""The transitions of one job: each a conditional UPDATE and an event row in the same transaction.

The WHERE of each UPDATE names the states it may leave and, for a worker, the attempt it holds. No row means that the
race is lost: another writer was first, nothing has changed, and the caller drops its work. Claims and batched successes
are in `shared.db.jobs.claims`, bulk changes in `shared.db.jobs.sweeps` and `shared.db.batches.items`; all keep the same
rule. `dispatched_at` is also written by `shared.db.jobs.dispatch_order`.

Invariant: every change of `Job.state` is one of `shared.states.TRANSITIONS` and is recorded in `job_events`.
"""

import traceback
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared import clock
from shared.db import sql_clock, stored_bytes
from shared.db.jobs import dispatch_order
from shared.db.jobs.claims import Claim, LostRace, held_by, in_state, update_job
from shared.db.jobs.events import record, record_all, record_move
from shared.db.models import Job
from shared.errors import AtelierError, IdTaken, IllegalTransition, NotFound, WorkerLost
from shared.painting.results import Result
from shared.states import TERMINAL, State

#: How many characters are kept of an error's message, the width of its column, and from the end of a traceback.
_MESSAGE_LENGTH = 2_000
_TRACEBACK_LENGTH = 8_000

#: After so many lost attempts in a row the job itself is assumed to crash its workers, and it fails.
MAX_LOST_ATTEMPTS = 3


# -- by clients


def create(session: Session, job: Job) -> None:
    """Insert a new job: nothing → queued. Raises `IdTaken`."""
    job.state = State.QUEUED
    job.attempt = 0
    job.created_at = clock.now()
    job.sort_id = job.sort_id or job.id
    job.queue_key = job.queue_key or dispatch_order.owner_queue_key(job.owner)
    session.add(job)
    try:
        session.flush()
    except IntegrityError as error:
        raise IdTaken(f"The id {job.id} is already in use.") from error
    record(session, job.id, "job_queued", State.QUEUED, attempt=0)


def request_cancel(session: Session, job_id: str) -> State:
    """Cancel a queued job, or ask the worker of a running one to; return the job's state now.

    Repeating the request changes nothing. Raises `NotFound`, and `IllegalTransition` for a job that ended otherwise.
    """
    state = session.scalar(select(Job.state).where(Job.id == job_id).with_for_update())
    now = clock.now()
    if state == State.QUEUED:
        end_queued(session, [job_id], "job_canceled", State.CANCELED, cancel_requested_at=now)
        return State.CANCELED
    if state == State.RUNNING:
        unasked = (*in_state(job_id, State.RUNNING), Job.cancel_requested_at.is_(None))
        job = update_job(session, unasked, cancel_requested_at=now)
        if job is not None:
            record(session, job_id, "cancel_requested", State.RUNNING, attempt=job.attempt)
        return State.RUNNING
    if state is None:
        raise NotFound(f"There is no job {job_id}.")
    if state != State.CANCELED:
        raise IllegalTransition(f"The job has {state} and cannot be canceled.", state=state)
    return State.CANCELED


def end_queued(session: Session, job_ids: Sequence[str], name: str, state: State, **values: Any) -> list[str]:
    """End jobs that are still queued: queued → `state`, recorded as the event `name`; return which."""
    ended = {"state": state, "ended_at": clock.now(), "dispatched_at": None} | values
    ended["expires_at"] = sql_clock.now_plus(Job.retention_s)
    statement = update(Job).where(Job.id.in_(job_ids), Job.state == State.QUEUED).values(**ended)
    statement = statement.returning(Job.id, Job.attempt, Job.batch_id, Job.webhook)
    jobs = session.execute(statement.execution_options(synchronize_session=False)).all()
    record_all(session, jobs, name, State.QUEUED, state)
    return [job.id for job in jobs]


def remove(session: Session, job_id: str) -> None:
    """Delete an ended job with its events, not its files; raise `NotFound`, or `IllegalTransition` before its end."""
    ended = delete(Job).where(Job.id == job_id, Job.state.in_(TERMINAL))
    returned = ended.returning(Job.state, Job.batch_id, Job.owner, Job.result, Job.files_gone_at)
    removed = session.execute(returned.execution_options(synchronize_session=False)).one_or_none()
    if removed is not None:
        record_move(session, removed.batch_id, job_id, removed.state, None)
        if removed.files_gone_at is None:
            stored_bytes.add(session, {removed.owner: -stored_bytes.bytes_of(removed.result)})
    else:
        state = session.scalar(select(Job.state).where(Job.id == job_id))
        if state is None:
            raise NotFound(f"There is no job {job_id}.")
        raise IllegalTransition(f"The job is {state}; cancel it before deleting it.", state=state)


# -- by workers; without a valid claim each raises `LostRace`


def succeed(session: Session, claim: Claim, *, result: Result, reused_from: str | None = None) -> None:
    """Finish a job, painted or reused: running → succeeded; raise `LostRace`."""
    details = {"reused_from": reused_from} if reused_from else None
    _finish(session, claim, State.SUCCEEDED, "job_succeeded", details, result=result, reused_from=reused_from)


def fail(session: Session, claim: Claim, error: AtelierError, *, result: Result | None = None) -> None:
    """Fail a job: running → failed, with a partial result if there is one; raise `LostRace`."""
    details = _error_details(error)
    _finish(session, claim, State.FAILED, "job_failed", details, result=result, **_error_values(error))


def stop(session: Session, claim: Claim, *, result: Result | None) -> None:
    """Cancel a job as its client requested: running → canceled, with any partial result; raise `LostRace`."""
    _finish(session, claim, State.CANCELED, "job_canceled", result=result)


def give_back(session: Session, claim: Claim, *, reason: str) -> State:
    """Return an unfinished job to the queue: running → queued, or → canceled if requested; raise `LostRace`."""
    return _return(session, claim, held_by(claim), {}, "job_returned", {"reason": reason})


def retry_later(session: Session, claim: Claim, error: AtelierError, *, after_s: float) -> State:
    """Retry a job after a temporary error: running → queued for at least `after_s`, or → canceled if requested.

    Raises `LostRace`.
    """
    values: dict[str, Any] = {"retries": Job.retries + 1, "retry_at": sql_clock.now_plus(after_s)}
    details = {**_error_details(error), "after_s": round(after_s, 3)}
    return _return(session, claim, held_by(claim), values, "job_retried", details)


def lose(session: Session, claim: Claim, *, expired_only: bool = False) -> State:
    """Take a job from a lost worker: running → queued, or → canceled if requested, or → failed the third time.

    With `expired_only` its lease must have expired. Raises `LostRace` if the attempt has ended.
    """
    where = held_by(claim)
    if expired_only:
        where = (*where, Job.lease_expires_at <= sql_clock.now())
    found = select(Job.lost_attempts, Job.progress, Job.checkpoint).where(*where).with_for_update()
    row = session.execute(found).one_or_none()
    if row is None:
        raise LostRace(claim)
    lost, progress, checkpoint = row
    if lost + 1 < MAX_LOST_ATTEMPTS:
        details = {"step": progress["step"] if progress else 0, "resumes_after": (checkpoint or {}).get("step", 0)}
        return _return(session, claim, where, {"lost_attempts": lost + 1}, "claim_lost", details)
    error = WorkerLost(f"{MAX_LOST_ATTEMPTS} workers in a row were lost while painting this job.")
    values = {"state": State.FAILED, "ended_at": clock.now(), "lost_attempts": lost + 1, **_error_values(error)}
    _move(session, claim, where, "job_failed", {"code": error.code}, **values)
    return State.FAILED


# -- shared


def _error_details(error: AtelierError) -> dict[str, Any]:
    """Return an error as an event keeps it: its code, its message and, for operators, the end of its traceback."""
    trace = "".join(traceback.format_exception(error)) if error.__traceback__ or error.__cause__ else ""
    return {"code": error.code, "message": error.detail, **({"traceback": trace[-_TRACEBACK_LENGTH:]} if trace else {})}


def _error_values(error: AtelierError) -> dict[str, Any]:
    """Return the values of the error columns of a job."""
    return {
        "error_code": error.code,
        "error_message": error.detail[:_MESSAGE_LENGTH],
        "error_retryable": error.retryable,
    }


def _move(
    session: Session,
    claim: Claim,
    where: tuple[ColumnElement[bool], ...],
    name: str,
    details: dict[str, Any] | None = None,
    **values: Any,
) -> None:
    """Change the state of a running job and record it; raise `LostRace` if `where` no longer matches."""
    state = State(values["state"])
    job = update_job(session, where, **values)
    if job is None:
        raise LostRace(claim)
    record(session, claim.job_id, name, state, attempt=claim.attempt, worker=claim.worker, details=details)
    record_move(session, job.batch_id, claim.job_id, State.RUNNING, state)
    stored_bytes.add(session, {job.owner: stored_bytes.bytes_of(values.get("result"))})


def _return(
    session: Session,
    claim: Claim,
    where: tuple[ColumnElement[bool], ...],
    values: dict[str, Any],
    name: str,
    details: dict[str, Any] | None,
) -> State:
    """Change running → queued, or → canceled: a request to cancel outlives the attempt in which it was made."""
    unasked = (*where, Job.cancel_requested_at.is_(None))
    try:
        _move(session, claim, unasked, name, details, state=State.QUEUED, worker=None, **values)
        return State.QUEUED
    except LostRace:
        _move(session, claim, where, "job_canceled", state=State.CANCELED, ended_at=clock.now())
        return State.CANCELED


def _finish(
    session: Session, claim: Claim, state: State, name: str, details: dict[str, Any] | None = None, **values: Any
) -> None:
    """End a running job and forget its checkpoint; raise `LostRace`."""
    _move(session, claim, held_by(claim), name, details, state=state, ended_at=clock.now(), checkpoint=None, **values)
