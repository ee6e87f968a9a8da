"""A saved strength beside whatever else changes the same row."""

from contextlib import suppress
from dataclasses import replace

import pytest

from api.access import Caller
from api.usecases import results
from shared import clock
from shared.db.base import Database
from shared.db.jobs import queries, sweeps, transitions
from shared.errors import NotFound, ResultExpired
from shared.painting.results import ResultFacts, with_files
from shared.states import Role
from tests.support.claims import claim
from tests.support.concurrency import meet
from tests.support.factories import add_job

ANN = Caller(key_id="k", owner="local", role=Role.CLIENT)
FACTS = ResultFacts(width=4, height=3, bytes=9, format="png", partial=False)


def painted(database: Database) -> str:
    held = claim(database, add_job(database))
    with database.writing() as session:
        transitions.succeed(session, held, result=with_files(FACTS, {"key": "jobs/1/1/result.png"}))
    return held.job_id


def test_a_strength_changes_nothing_else_of_the_result(database) -> None:
    job_id = painted(database)
    for strength in (0.25, 1.0, 0.5):
        results.set_strength(database, job_id, strength, ANN)
    with database.reading() as session:
        assert queries.get_job(session, job_id).result == {**FACTS, "key": "jobs/1/1/result.png", "strength": 0.5}


def test_another_owners_job_is_not_there(database) -> None:
    with pytest.raises(NotFound):
        results.set_strength(database, painted(database), 0.5, replace(ANN, owner="eve"))


def test_a_strength_that_is_saved_while_files_expire_brings_none_back(database) -> None:
    for _ in range(10):
        job_id = painted(database)
        with database.writing() as session:
            queries.get_job(session, job_id).expires_at = clock.now().replace(year=2020)

        def save(job_id: str = job_id) -> None:
            with suppress(ResultExpired):
                results.set_strength(database, job_id, 0.5, ANN)

        def expire() -> None:
            with database.writing() as session:
                sweeps.expire_files(session)

        meet(save, expire)
        expire()
        with database.reading() as session:
            job = queries.get_job(session, job_id)
        assert (job.result, job.files_gone_at is None) == (FACTS, False)
