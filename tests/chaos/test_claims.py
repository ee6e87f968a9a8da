"""A thousand claims raced by eight processes: each job is claimed once, without a lock error."""

import random
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from shared.db.base import connect
from shared.db.jobs import transitions
from tests.chaos.scale import scaled
from tests.support.claims import claim_job
from tests.support.factories import add_image, new_job

pytestmark = pytest.mark.chaos

PROCESSES, JOBS = 8, scaled(200, 1000)


def race(url: str, job_ids: list[str], seed: int) -> list[tuple[str, int]]:
    """Try to claim every job, in an order of one's own; return those won with their attempt."""
    database = connect(url)
    order = random.Random(seed).sample(job_ids, len(job_ids))
    won = []
    for job_id in order:
        with database.writing() as session:
            claim = claim_job(session, job_id, worker=f"w{seed}", weights={}, lease_s=60)
        if claim is not None:
            won.append((job_id, claim.attempt))
    database.engine.dispose()
    return won


@pytest.mark.parametrize("database_url", ["sqlite", "postgres"], indirect=True)
def test_each_job_is_claimed_once_without_a_lock_error(database, settings) -> None:
    made = [new_job(add_image(database)) for _ in range(JOBS)]
    with database.writing() as session:
        for job in made:
            transitions.create(session, job)
    job_ids = [job.id for job in made]
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(race, settings.database_url, job_ids, seed) for seed in range(PROCESSES)]
        won = [
            claim for future in futures for claim in future.result(timeout=120)
        ]  # an error of the database is raised
    assert sorted(job_id for job_id, _ in won) == sorted(job_ids)
    assert Counter(attempt for _, attempt in won) == {1: JOBS}
