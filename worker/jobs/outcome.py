"""The outcome of an attempt as one value, and the one database write that it becomes."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from shared.db import workers
from shared.db.jobs import transitions
from shared.db.jobs.claims import Claim
from shared.errors import AtelierError, StorageFull
from shared.painting.results import Result
from shared.states import State


@dataclass(frozen=True)
class Outcome:
    """The state to move to, the result in storage if there is a picture, and the error, if any."""

    state: State
    result: Result | None = None
    error: AtelierError | None = None
    #: The pause before the job is tried again after its error, in seconds.
    retry_after_s: float | None = None
    #: Why the job returns to the queue without an error.
    reason: str = "drain"
    #: The earlier job whose result was copied.
    reused_from: str | None = None


def write_outcome(session: Session, claim: Claim, outcome: Outcome) -> State:
    """Move the job from running to its next state, and return that. Raises `LostRace`."""
    result, error = outcome.result, outcome.error
    if isinstance(error, StorageFull):
        workers.hold_queue(session, error.code)
    if error is not None and outcome.retry_after_s is not None:
        return transitions.retry_later(session, claim, error, after_s=outcome.retry_after_s)
    if outcome.state == State.QUEUED:
        return transitions.give_back(session, claim, reason=outcome.reason)
    if error is not None:
        transitions.fail(session, claim, error, result=result)
    elif outcome.state == State.CANCELED:
        transitions.stop(session, claim, result=result)
    else:
        assert result is not None  # a job succeeds with its picture alone
        transitions.succeed(session, claim, result=result, reused_from=outcome.reused_from)
    return outcome.state
