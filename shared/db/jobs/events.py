"""The history of jobs: one event row per change, written in the transaction that makes the change.

Invariant: the end of a job, its event and its webhook delivery are committed together.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from shared import clock
from shared.db import deliveries
from shared.db.models import BatchMove, JobEvent
from shared.states import TERMINAL, State


def record(
    session: Session,
    job_id: str,
    name: str,
    state: State,
    *,
    attempt: int,
    worker: str | None = None,
    details: dict[str, Any] | None = None,
) -> None:
    """Add an event and, if it ends the job, the delivery to its webhook."""
    event = JobEvent(job_id=job_id, name=name, state=state, attempt=attempt, worker=worker, details=details)
    event.at = clock.now()
    session.add(event)
    if name == f"job_{state}" and state in TERMINAL:  # events after the end have other names
        deliveries.add_for_job(session, job_id, state)


def record_move(session: Session, batch_id: str | None, job_id: str, was: str | None, became: State | None) -> None:
    """Record that a batch's item changed its state; does nothing for a job without a batch."""
    if batch_id is not None:
        session.add(BatchMove(batch_id=batch_id, job_id=job_id, was=was, became=became, count=1))


def record_all(
    session: Session,
    jobs: Sequence[Any],
    name: str,
    was: State,
    became: State,
    *,
    worker: str | None = None,
    details: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Record the same change of several jobs, with events, deliveries and batch moves, in a few statements.

    `jobs` have the columns `id`, `attempt`, `batch_id` and `webhook`; `details` are by job id.
    """
    if not jobs:
        return
    event = {"name": name, "state": became, "worker": worker, "at": clock.now()}
    own = ({"job_id": job.id, "attempt": job.attempt, "details": details.get(job.id)} for job in jobs)
    session.execute(insert(JobEvent), [event | each for each in own])
    move = {"was": was, "became": became, "count": 1}
    moves = [move | {"batch_id": job.batch_id, "job_id": job.id} for job in jobs if job.batch_id is not None]
    if moves:
        session.execute(insert(BatchMove), moves)
    for job in jobs:
        if became in TERMINAL and job.webhook:
            deliveries.add_for_job(session, job.id, became)
