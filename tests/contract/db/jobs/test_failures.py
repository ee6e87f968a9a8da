"""Failures, in groups: what failed alike, how often and since when."""

from datetime import timedelta
from typing import Any

from sqlalchemy import update

from shared import clock
from shared.db.base import Database
from shared.db.jobs import failures, queries, transitions
from shared.db.models import Job
from shared.errors import AtelierError, Diverged, OutOfMemory
from shared.states import State
from tests.support.claims import claim_job
from tests.support.factories import add_job

AT_SECOND_SCALE = {"step": 9, "total": 20, "scale": 1, "scales": 2}


def fail(database: Database, error: AtelierError, *, worker: str = "w1", ago_s: float = 0.0, **values: Any) -> str:
    """Add a job that failed so long ago; `progress` is how far it was."""
    progress = values.pop("progress", None)
    job_id = add_job(database, **values)
    with database.writing() as session:
        held = claim_job(session, job_id, worker=worker, weights={}, lease_s=20)
        assert held is not None
        transitions.fail(session, held, error)
        ended_at = clock.now() - timedelta(seconds=ago_s)
        session.execute(update(Job).where(Job.id == job_id).values(ended_at=ended_at, progress=progress))
    return job_id


def grouped(database: Database, **bounds: int) -> list[failures.FailureGroup]:
    with database.reading() as session:
        return failures.list_groups(session, **bounds)


def test_nothing_has_failed_where_nothing_was_painted(database) -> None:
    add_job(database)
    assert grouped(database) == []


def test_failures_are_grouped_by_code_and_scale_the_last_met_first(database) -> None:
    made = [fail(database, Diverged("no numbers"), ago_s=age, worker=f"w{age % 20}") for age in (40, 30, 20, 10)]
    late = fail(database, Diverged(), progress=AT_SECOND_SCALE, ago_s=50)
    last = fail(database, OutOfMemory("8 GB"), worker="small")
    small, early, at_second = grouped(database)
    assert (small.code, small.scale, small.count, small.examples) == ("out_of_memory", None, 1, [last])
    assert (small.worker, small.workers, small.message) == ("small", 1, "8 GB")
    assert (early.code, early.scale, early.count, early.workers) == ("diverged", None, 4, 2)
    assert early.examples == made[:0:-1]
    assert 29 <= (early.last_at - early.first_at).total_seconds() <= 31
    assert (at_second.code, at_second.scale, at_second.examples) == ("diverged", 1, [late])


def test_only_the_last_failures_of_the_last_days_count(database) -> None:
    fail(database, OutOfMemory(), ago_s=failures.SINCE_S + 60)
    for age in (3, 2, 1):
        fail(database, Diverged(), ago_s=age)
    assert [(group.code, group.count) for group in grouped(database)] == [("diverged", 3)]
    assert [(group.code, group.count) for group in grouped(database, most=2)] == [("diverged", 2)]


def test_a_listing_is_filtered_by_the_code_of_what_failed(database) -> None:
    wanted = fail(database, Diverged())
    fail(database, OutOfMemory())
    add_job(database)
    with database.reading() as session:
        for states in ([], [State.FAILED], [State.QUEUED, State.FAILED]):
            found = queries.list_jobs(session, queries.Filter(states, code="diverged"), limit=10)
            assert [job.id for job in found] == [wanted]
        assert queries.list_jobs(session, queries.Filter([State.QUEUED], code="diverged"), limit=10) == []


def test_a_listing_is_filtered_by_when_jobs_were_made(database) -> None:
    made = [add_job(database) for _ in range(3)]
    with database.reading() as session:
        middle = queries.get_job(session, made[1])
        before = queries.list_jobs(session, queries.Filter(created_before=middle.created_at), limit=10)
        after = queries.list_jobs(session, queries.Filter(created_after=middle.created_at), limit=10)
    assert [job.id for job in before] == [made[0]]
    assert [job.id for job in after] == [made[2]]
