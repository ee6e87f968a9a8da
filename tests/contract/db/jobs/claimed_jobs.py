"""Jobs claimed by a worker, and in every state."""

from sqlalchemy import update
from sqlalchemy.orm import Session

from shared.db.base import Database
from shared.db.jobs import queries
from shared.db.jobs.claims import Claim
from shared.db.models import Job
from shared.states import State
from tests.support.claims import claim_job
from tests.support.factories import add_job

WEIGHTS = {"name": "patch", "sha256": "0"}
RESULT = {"key": "jobs/x/1/result.png"}


def take(session: Session, job_id: str, worker: str = "w1", lease_s: float = 20.0) -> Claim | None:
    return claim_job(session, job_id, worker=worker, weights=WEIGHTS, lease_s=lease_s)


def claimed(database: Database, **values) -> Claim:
    job_id = add_job(database, **values)
    with database.writing() as session:
        claim = take(session, job_id)
    assert claim is not None
    return claim


def load(database: Database, job_id: str) -> Job:
    with database.reading() as session:
        return queries.get_job(session, job_id)


def events(database: Database, job_id: str) -> list[str]:
    with database.reading() as session:
        return [event.name for event in queries.list_events(session, job_id)]


def bring_to(database: Database, state: State) -> Claim:
    """Make a claimed job and force its state, whatever the rules."""
    claim = claimed(database)
    values = {"state": state} if state == State.RUNNING else {"state": state, "lease_expires_at": None}
    if state == State.FAILED:
        values["error_code"] = "internal"
    if state == State.SUCCEEDED:
        values["result"] = RESULT
    with database.writing() as session:
        session.execute(update(Job).where(Job.id == claim.job_id).values(**values))
    return claim
