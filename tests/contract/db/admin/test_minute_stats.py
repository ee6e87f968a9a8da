"""Readings: what a minute's row says, taken by however many, and how long it stays."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import update

from shared import clock
from shared.db.admin import minute_stats
from shared.db.models import Job, MinuteStats
from tests.support.factories import add_image, add_job
from tests.support.many_jobs import fill
from tests.support.query_plans import plans, reads_all

MINUTE = datetime(2026, 5, 1, 12, 30, tzinfo=UTC)


def take(database, now: datetime) -> None:
    with database.reading() as session:
        found = minute_stats.sample(session, now)
    with database.writing() as session:
        minute_stats.store(session, found)


def taken(database, since: datetime = MINUTE - timedelta(days=30)) -> list[MinuteStats]:
    with database.reading() as session:
        return minute_stats.list_since(session, since)


def add_ended(database, ended_at: datetime, state: str = "succeeded", wait_s: float = 5, run_s: float = 10) -> None:
    started_at = ended_at - timedelta(seconds=run_s)
    values = {"state": state, "started_at": started_at, "ended_at": ended_at}
    values["created_at"] = started_at - timedelta(seconds=wait_s)
    values |= {"result": {}} if state == "succeeded" else {"error_code": "diverged"}
    job_id = add_job(database)
    with database.writing() as session:
        session.execute(update(Job).where(Job.id == job_id).values(**values))


def test_a_reading_says_what_waits_and_since_when(database) -> None:
    for age_s in (40, 90):
        job_id = add_job(database)
        with database.writing() as session:
            made = MINUTE - timedelta(seconds=age_s)
            session.execute(update(Job).where(Job.id == job_id).values(created_at=made, sort_id=f"{100 - age_s:03}"))
    take(database, MINUTE)
    (found,) = taken(database)
    assert (found.minute, found.waiting, found.running, found.oldest_s) == (MINUTE, 2, 0, 90.0)


def test_a_reading_of_an_empty_system_has_no_times(database) -> None:
    take(database, MINUTE)
    (found,) = taken(database)
    assert (found.waiting, found.succeeded, found.failed) == (0, 0, 0)
    assert {found.oldest_s, found.wait_p50_s, found.wait_p90_s, found.run_p50_s, found.run_p90_s} == {None}


def test_a_reading_counts_what_ended_in_its_minute_alone(database) -> None:
    for second, state in ((-1, "succeeded"), (0, "succeeded"), (59, "failed"), (60, "succeeded")):
        add_ended(database, MINUTE + timedelta(seconds=second), state)
    take(database, MINUTE + timedelta(seconds=59))
    (found,) = taken(database)
    assert (found.succeeded, found.failed) == (1, 1)
    assert (found.wait_p50_s, found.run_p90_s) == (5.0, 10.0)


def test_of_ten_jobs_the_slowest_is_beyond_the_half_and_at_nine_tenths(database) -> None:
    for number in range(1, 11):
        add_ended(database, MINUTE, wait_s=number, run_s=10 * number)
    take(database, MINUTE)
    (found,) = taken(database)
    assert (found.wait_p50_s, found.wait_p90_s, found.run_p50_s, found.run_p90_s) == (6.0, 10.0, 60.0, 100.0)


def test_a_minute_has_one_row_however_often_it_is_taken(database) -> None:
    take(database, MINUTE)
    add_job(database)
    for second in (20, 40):
        take(database, MINUTE + timedelta(seconds=second))
    assert [(found.minute, found.waiting) for found in taken(database)] == [(MINUTE, 1)]


def test_what_ended_after_a_minutes_last_reading_is_counted_in_the_next_one(database) -> None:
    take(database, MINUTE + timedelta(seconds=40))
    add_ended(database, MINUTE + timedelta(seconds=50))
    take(database, MINUTE + timedelta(seconds=60))
    assert [(found.succeeded, found.run_p50_s) for found in taken(database)] == [(1, 10.0), (0, None)]


def test_readings_are_listed_from_a_moment_on_and_forgotten_after_a_week(database) -> None:
    for days in (8, 6, 0):
        take(database, MINUTE - timedelta(days=days))
    assert len(taken(database, MINUTE - timedelta(days=7))) == 2
    with database.writing() as session:
        assert minute_stats.forget(session, MINUTE) == 1
    assert [found.minute for found in taken(database)] == [MINUTE - timedelta(days=6), MINUTE]


def test_no_reading_has_all_jobs_read(database) -> None:
    fill(database, add_image(database), 20_000)
    later = clock.now() + timedelta(hours=1)  # in the crowd's own minute all of it ended
    assert [
        plan for plan in plans(database, lambda session: minute_stats.sample(session, later)) if reads_all(plan)
    ] == []
