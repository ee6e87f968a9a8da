"""Claims of jobs, and steps as a worker reports them."""

from __future__ import annotations

from shared.db.jobs import claims


def step(number: int, total: int = 10) -> dict:
    losses = {"total": 3.0, "content": 1.0, "style": 2.0, "tv": 0.0}
    return {"step": number, "total": total, "scale": 1, "scales": 1, "losses": losses, "step_ms": 5.0, "eta_s": 7.2}


def claim(database, job_id: str) -> claims.Claim:
    with database.writing() as session:
        held = claims.claim_job(session, job_id, worker="w1", weights={"name": "patch", "sha256": "0"}, lease_s=20)
    assert held is not None
    return held
