"""Every write to a job: one conditional UPDATE, plus one event row in the same transaction.

The WHERE of each UPDATE names the states it may leave and, for a worker, the attempt it holds. No row means
"lost the race": another writer was first, nothing was changed, and the caller drops its work.

Invariant: no other module writes to the tables `jobs` and `job_events`, except `shared.dispatch`, which
stamps `dispatched_at`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from shared import clock
from shared.db.models import Job, JobEvent
from shared.errors import AtelierError, IllegalTransition, NotFound
from shared.states import State, sources_of


class Claim(NamedTuple):
    """One worker's hold on a job; `attempt` is the fencing token that every later write repeats."""

    job_id: str
    attempt: int
    worker: str


class LostRace(Exception):
    """Another writer was first; the claim is void and its work is dropped."""


def create(session: Session, job: Job) -> None:
    """Add a new job: nothing → queued."""
    job.state = State.QUEUED
    job.attempt = 0
    job.created_at = clock.now()
    session.add(job)
    session.flush()
    _record(session, job.id, "job_queued", State.QUEUED, attempt=0)


def claim(session: Session, job_id: str, *, worker: str, weights: dict[str, Any]) -> Claim | None:
    """Take a job: queued → running, raising its attempt. None if it is not queued any more."""
    statement = (
        update(Job)
        .where(Job.id == job_id, Job.state.in_(sources_of(State.RUNNING)))
        .values(state=State.RUNNING, attempt=Job.attempt + 1, worker=worker, weights=weights, started_at=clock.now())
        .returning(Job.attempt)
    )
    attempt = session.scalar(statement)
    if attempt is None:
        return None
    _record(session, job_id, "job_claimed", State.RUNNING, attempt=attempt, worker=worker)
    return Claim(job_id, attempt, worker)


def record_progress(session: Session, held: Claim, progress: dict[str, Any]) -> bool:
    """Keep the latest step of a running job and say whether someone wishes it canceled.

    Raises `LostRace` if the claim no longer holds.
    """
    statement = update(Job).where(*_held(held)).values(progress=progress).returning(Job.cancel_requested_at)
    row = session.execute(statement).one_or_none()
    if row is None:
        raise LostRace(held)
    return row.cancel_requested_at is not None


def succeed(session: Session, held: Claim, *, result: dict[str, Any] | None, progress: dict[str, Any] | None) -> None:
    """Finish a painted job: running → succeeded. Raises `LostRace` if the claim no longer holds."""
    _finish(session, held, State.SUCCEEDED, "job_succeeded", result=result, progress=progress)


def fail(session: Session, held: Claim, error: AtelierError, progress: dict[str, Any] | None = None) -> None:
    """End a job that cannot be painted: running → failed. Raises `LostRace` if the claim no longer holds."""
    values: dict[str, Any] = {"error_code": error.code, "error_message": error.detail[:2000]}
    if progress is not None:
        values["progress"] = progress
    details = {"code": error.code, "message": error.detail}
    _finish(session, held, State.FAILED, "job_failed", details, error_retryable=error.retryable, **values)


def stop(session: Session, held: Claim, *, result: dict[str, Any] | None, progress: dict[str, Any] | None) -> None:
    """End a job as its client wished: running → canceled, with what was painted so far as partial result.

    Raises `LostRace` if the claim no longer holds.
    """
    _finish(session, held, State.CANCELED, "job_canceled", result=result, progress=progress)


def give_back(session: Session, held: Claim, *, reason: str) -> None:
    """Return an unfinished job to the queue: running → queued. Raises `LostRace` if the claim is void."""
    values = {"state": State.QUEUED, "worker": None, "dispatched_at": None, "progress": None}
    _update_held(session, held, values)
    _record(session, held.job_id, "job_returned", State.QUEUED, attempt=held.attempt, details={"reason": reason})


def request_cancel(session: Session, job_id: str) -> State:
    """Cancel a queued job at once, wish a running one canceled; return the state it is in now.

    Raises `NotFound`, and `IllegalTransition` for a job that ended otherwise. Wishing twice is wishing once.
    """
    now = clock.now()
    queued = _where_state(job_id, State.QUEUED)
    if _attempt_of(session, queued, state=State.CANCELED, cancel_requested_at=now, ended_at=now) is not None:
        _record(session, job_id, "job_canceled", State.CANCELED, attempt=0)
        return State.CANCELED
    unwished = (*_where_state(job_id, State.RUNNING), Job.cancel_requested_at.is_(None))
    attempt = _attempt_of(session, unwished, cancel_requested_at=now)
    if attempt is not None:
        _record(session, job_id, "cancel_requested", State.RUNNING, attempt=attempt)
        return State.RUNNING
    state = session.scalar(select(Job.state).where(Job.id == job_id))
    if state is None:
        raise NotFound(f"There is no job {job_id}.")
    if state not in (State.RUNNING, State.CANCELED):
        raise IllegalTransition(f"The job has {state} and cannot be canceled.", state=state)
    return State(state)


def _where_state(job_id: str, state: State) -> tuple[ColumnElement[bool], ...]:
    return Job.id == job_id, Job.state == state


def _held(held: Claim) -> tuple[ColumnElement[bool], ...]:
    return *_where_state(held.job_id, State.RUNNING), Job.attempt == held.attempt


def _attempt_of(session: Session, where: tuple[ColumnElement[bool], ...], **values: Any) -> int | None:
    """Update the one job that `where` names and return its attempt, or None if it names none."""
    return session.scalar(update(Job).where(*where).values(**values).returning(Job.attempt))


def _update_held(session: Session, held: Claim, values: dict[str, Any]) -> None:
    if _attempt_of(session, _held(held), **values) is None:
        raise LostRace(held)


def _finish(
    session: Session, held: Claim, state: State, name: str, details: dict[str, Any] | None = None, **values: Any
) -> None:
    _update_held(session, held, {"state": state, "ended_at": clock.now(), **values})
    _record(session, held.job_id, name, state, attempt=held.attempt, worker=held.worker, details=details)


def _record(
    session: Session,
    job_id: str,
    name: str,
    state: State,
    *,
    attempt: int,
    worker: str | None = None,
    details: dict[str, Any] | None = None,
) -> None:
    event = JobEvent(job_id=job_id, name=name, state=state, attempt=attempt, worker=worker, details=details)
    event.at = clock.now()
    session.add(event)
