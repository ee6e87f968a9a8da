"""What goes before a job, and what became of promises."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import update

from shared import clock
from shared.db import forecasts, jobs
from shared.db.models import Job
from tests.factories import add_job


def ahead(database, job_id: str) -> forecasts.Ahead:
    with database.reading() as session:
        job = session.get(Job, job_id)
        return forecasts.ahead(session, job.owner, job.priority, job.place)


def test_the_queue_goes_by_priority_and_then_by_age(database) -> None:
    first, second, urgent = add_job(database), add_job(database), add_job(database, priority=5)
    assert [ahead(database, job_id).jobs for job_id in (first, second, urgent)] == [1, 2, 0]


def test_owners_take_turns_whatever_each_has_waiting(database) -> None:
    for _ in range(10):
        add_job(database, owner="ann")
    first, second = (add_job(database, owner="bob") for _ in range(2))
    assert [ahead(database, job_id).jobs for job_id in (first, second)] == [1, 3]


def test_the_time_ahead_is_what_was_predicted(database) -> None:
    for seconds in (10.0, 20.0):
        add_job(database, predicted_s=seconds)
    assert ahead(database, add_job(database, predicted_s=1.0)) == forecasts.Ahead(2, 30.0)
    assert ahead(database, add_job(database, priority=9)) == forecasts.Ahead(0, 0.0)


def test_nobody_can_say_how_long_unpredicted_jobs_take(database) -> None:
    add_job(database)
    assert ahead(database, add_job(database)) == forecasts.Ahead(1, None)


def test_jobs_that_succeeded_tell_what_was_predicted_promised_and_real(database) -> None:
    now = clock.now()
    job_id = add_job(database, predicted_s=10.0)
    with database.writing() as session:
        held = jobs.claim(session, job_id, worker="w", weights={}, lease_s=20)
        jobs.succeed(session, held, result={"key": "x"})
        times = {"started_at": now + timedelta(seconds=5), "ended_at": now + timedelta(seconds=25), "created_at": now}
        promised = {"promised_p50_at": now + timedelta(seconds=20), "promised_p90_at": now + timedelta(seconds=30)}
        session.execute(update(Job).values(**times, **promised))
    add_job(database)
    with database.reading() as session:
        [sample] = forecasts.samples(session, 10)
        [promise] = forecasts.promises(session, 10)
        times = forecasts.recent_times(session, 10)
    assert (sample.preset, sample.long_side, sample.predicted_s, round(sample.took_s)) == ("classic", 32, 10.0, 20)
    assert promise.p50_at < promise.ended_at < promise.p90_at
    assert ([round(each) for each in times.waits_s], [round(each) for each in times.runs_s]) == ([5], [20])
