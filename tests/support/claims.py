"""Claims of jobs, and steps as a worker reports them."""

from sqlalchemy.orm import Session

from shared.db.base import Database
from shared.db.jobs import claims
from tests.support.fakes import Outbox


def step(number: int, total: int = 10) -> dict:
    losses = {"total": 3.0, "content": 1.0, "style": 2.0, "tv": 0.0}
    return {"step": number, "total": total, "scale": 1, "scales": 1, "losses": losses, "step_ms": 5.0, "eta_s": 7.2}


def claim_job(session: Session, job_id: str, *, worker: str, weights: dict, lease_s: float) -> claims.Claim | None:
    """Claim one job; return None if it is not available."""
    return next(iter(claims.claim_jobs(session, [job_id], worker=worker, weights=weights, lease_s=lease_s)), None)


def claim(database, job_id: str) -> claims.Claim:
    with database.writing() as session:
        held = claim_job(session, job_id, worker="w1", weights={"name": "patch", "sha256": "0"}, lease_s=20)
    assert held is not None
    return held


def take_claimed(database: Database, outbox: Outbox) -> list[str]:
    """Take the next message with a job that nobody has yet, as a worker does, and claim its jobs."""
    while True:
        message = outbox.take()
        with database.writing() as session:
            if claims.claim_jobs(session, message, worker="w", weights={}, lease_s=20):
                return message
