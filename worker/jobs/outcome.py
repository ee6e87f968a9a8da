"""How one attempt at a job ended, as one value, and the one write to the database that it becomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from shared.db import workers
from shared.db.jobs import transitions
from shared.db.jobs.claims import Claim
from shared.errors import AtelierError, StorageFull
from shared.states import State
from worker.jobs.retries import Retry


@dataclass(frozen=True)
class Outcome:
    """The state to move to; what lies in storage, if a picture does; the error, and what is done about it.

    `reason` is why a job goes back to the queue without an error.
    """

    state: State
    result: dict[str, Any] | None = None
    error: AtelierError | None = None
    retry: Retry | None = None
    reason: str = "drain"
    #: The earlier job whose picture it is.
    reused_from: str | None = None


def write(session: Session, claim: Claim, outcome: Outcome) -> State:
    """Move on from running, to a terminal state or back to queued; return where it is then. Raises `LostRace`."""
    result, error = outcome.result, outcome.error
    if isinstance(error, StorageFull):
        workers.hold_queue(session, error.code)
    if outcome.retry is not None and error is not None:
        return transitions.retry_later(session, claim, error, **outcome.retry._asdict())
    if outcome.state == State.QUEUED:
        return transitions.give_back(session, claim, reason=outcome.reason)
    if error is not None:
        transitions.fail(session, claim, error, result=result)
    elif outcome.state == State.CANCELED:
        transitions.stop(session, claim, result=result)
    else:
        transitions.succeed(session, claim, result=result or {}, reused_from=outcome.reused_from)
    return outcome.state
