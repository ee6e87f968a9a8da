"""What the sweeper puts right, and what it leaves alone."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select, update

from shared import clock
from shared.db import sql_clock, workers
from shared.db.base import Database
from shared.db.jobs import queries, sweeps, transitions
from shared.db.jobs.claims import Claim
from shared.db.models import ApiKey, Job, JobEvent, Usage, Worker
from shared.states import State
from tests.support.claims import claim_job
from tests.support.concurrency import race
from tests.support.factories import add_image, add_job, add_key

PAST = datetime(2020, 1, 1, tzinfo=UTC)


def run_job(database: Database, lease_s: float = 20.0, **values) -> Claim:
    job_id = add_job(database, **values)
    with database.writing() as session:
        claim = claim_job(session, job_id, worker="w1", weights={}, lease_s=lease_s)
    assert claim is not None
    return claim


def state(database: Database, job_id: str) -> str:
    with database.reading() as session:
        return queries.get_job(session, job_id).state


def test_only_leases_that_have_ended_are_ended(database) -> None:
    ended, holding, waiting = run_job(database, lease_s=-1), run_job(database), add_job(database)
    with database.writing() as session:
        assert sweeps.end_leases(session) == [(ended.job_id, State.QUEUED)]
        assert sweeps.end_leases(session) == []
    assert (state(database, holding.job_id), state(database, waiting)) == ("running", "queued")


def test_sweepers_at_work_together_lose_each_attempt_once(database) -> None:
    image = add_image(database)
    claims = [run_job(database, lease_s=-1, image_id=image) for _ in range(20)]
    found: list[tuple[str, State]] = []

    def sweep() -> None:
        with database.writing() as session:
            found.extend(sweeps.end_leases(session))

    race(sweep, threads=6)
    assert sorted(job_id for job_id, _ in found) == sorted(claim.job_id for claim in claims)
    with database.reading() as session:
        assert set(session.scalars(select(Job.lost_attempts))) == {1}


def test_a_canceled_job_whose_worker_died_is_canceled(database) -> None:
    claim = run_job(database, lease_s=-1)
    with database.writing() as session:
        transitions.request_cancel(session, claim.job_id)
        assert sweeps.end_leases(session) == [(claim.job_id, State.CANCELED)]


def test_a_job_that_missed_its_deadline_expires_and_one_that_has_begun_does_not(database) -> None:
    late, begun, future = add_job(database, start_by=PAST), add_job(database, start_by=PAST), add_job(database)
    with database.writing() as session:
        session.execute(update(Job).where(Job.id == begun).values(attempt=1))
        session.execute(update(Job).where(Job.id == future).values(start_by=sql_clock.now_plus(60)))
        assert sweeps.expire(session) == [late]
    assert [state(database, job_id) for job_id in (late, begun, future)] == ["expired", "queued", "queued"]
    with database.reading() as session:
        assert [event.name for event in queries.list_events(session, late)] == ["job_queued", "job_expired"]


def test_ended_jobs_lose_their_files_when_their_own_retention_is_over(database) -> None:
    image = add_image(database)
    brief, long, waiting = (add_job(database, image_id=image, retention_s=s) for s in (60.0, 3600.0, 60.0))
    with database.writing() as session:
        for job_id in (brief, long):
            transitions.request_cancel(session, job_id)
        # the moment that its end set lies as far ahead as it is kept: let ten minutes pass
        session.execute(update(Job).where(Job.id == brief).values(expires_at=sql_clock.now_plus(60 - 600)))
        session.execute(update(Job).where(Job.id == long).values(expires_at=sql_clock.now_plus(3600 - 600)))
        assert sweeps.expire_files(session) == [brief]
        assert sweeps.expire_files(session) == []
    with database.reading() as session:
        events = queries.list_events(session, brief)
        gone_at = {job.id: job.files_gone_at for job in session.scalars(select(Job))}
    assert [(event.name, event.state) for event in events][-1] == ("files_expired", "canceled")
    assert (gone_at[long], gone_at[waiting]) == (None, None)
    assert gone_at[brief] is not None


def test_no_job_that_has_not_ended_loses_its_files(database) -> None:
    running, waiting = run_job(database).job_id, add_job(database)
    with database.writing() as session:
        session.execute(update(Job).values(expires_at=PAST))
        assert sweeps.expire_files(session) == []
    with database.reading() as session:
        assert set(session.scalars(select(Job.files_gone_at))) == {None}
    assert (state(database, running), state(database, waiting)) == ("running", "queued")


def test_a_picture_that_is_gone_leaves_its_size(database) -> None:
    claim = run_job(database)
    size = {"width": 3, "height": 2, "bytes": 9, "format": "png", "partial": False}
    with database.writing() as session:
        transitions.succeed(
            session, claim, result={**size, "key": "jobs/a/1/result.png", "timelapse_key": "jobs/a/1/t.webp"}
        )
        session.execute(update(Job).values(expires_at=PAST))
        sweeps.expire_files(session)
    with database.reading() as session:
        assert queries.get_job(session, claim.job_id).result == size


def test_sweepers_at_work_together_take_each_jobs_files_once(database) -> None:
    image = add_image(database)
    ended = [add_job(database, image_id=image) for _ in range(20)]
    with database.writing() as session:
        for job_id in ended:
            transitions.request_cancel(session, job_id)
        session.execute(update(Job).values(expires_at=PAST))
    found: list[str] = []

    def sweep() -> None:
        with database.writing() as session:
            found.extend(sweeps.expire_files(session))

    race(sweep, threads=6)
    assert sorted(found) == sorted(ended)


def test_jobs_are_forgotten_with_their_events_and_never_before_their_files(database) -> None:
    old, fresh, kept, running = add_job(database), add_job(database), add_job(database), run_job(database)
    with database.writing() as session:
        for job_id in (old, fresh, kept):
            transitions.request_cancel(session, job_id)
        session.execute(update(Job).where(Job.id.in_([old, kept])).values(ended_at=PAST))
        session.execute(update(Job).where(Job.id.in_([old, fresh])).values(files_gone_at=PAST))
    with database.writing() as session:
        assert sweeps.forget_jobs(session, history_s=3600) == [old]
    with database.reading() as session:
        assert set(session.scalars(select(Job.id))) == {fresh, kept, running.job_id}
        assert session.scalar(select(func.count()).where(JobEvent.job_id == old)) == 0


def test_what_was_counted_long_ago_is_forgotten(database) -> None:
    add_key(database)
    days = {name: (clock.now() - timedelta(days=age)).date().isoformat() for name, age in (("kept", 39), ("old", 42))}
    with database.writing() as session:
        key_id = session.scalars(select(ApiKey.id)).one()
        session.add_all(Usage(key_id=key_id, day=day, work=1.0) for day in days.values())
        session.flush()
        assert sweeps.forget_usage(session) == 1
        assert list(session.scalars(select(Usage.day))) == [days["kept"]]


def test_a_worker_that_arrives_twice_at_once_is_one(database) -> None:
    def arrive() -> None:
        with database.writing() as session:
            workers.record_heartbeat(session, "w1")

    race(arrive, threads=8)
    with database.reading() as session:
        assert [worker.name for worker in workers.list_alive(session)] == ["w1"]


def test_workers_unheard_of_are_forgotten(database) -> None:
    with database.writing() as session:
        workers.record_heartbeat(session, "gone")
        session.execute(update(Worker).values(seen_at=sql_clock.now_plus(-7200)))
        workers.record_heartbeat(session, "here")
        assert [worker.name for worker in workers.list_alive(session)] == ["here"]
        sweeps.forget_workers(session, unseen_s=3600)
        assert list(session.scalars(select(Worker.name))) == ["here"]
