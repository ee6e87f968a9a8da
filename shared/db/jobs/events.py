"""What happened to jobs: a row for each thing, written in the transaction that makes it happen.

Invariant: the end of a job and the delivery that tells of it are in one transaction with this row.
"""

from __future__ import annotations

from typing import Any

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
    """Add an event, and what a webhook is to be told; the caller's transaction makes it true."""
    event = JobEvent(job_id=job_id, name=name, state=state, attempt=attempt, worker=worker, details=details)
    event.at = clock.now()
    session.add(event)
    if name == f"job_{state}" and state in TERMINAL:  # its end, not what happens later
        deliveries.add_for_job(session, job_id, state)


def record_move(session: Session, batch_id: str | None, job_id: str, was: str | None, became: State | None) -> None:
    """Have an item's batch count it anew; nothing happens to a job that is in none."""
    if batch_id is not None:
        session.add(BatchMove(batch_id=batch_id, job_id=job_id, was=was, became=became, count=1))
