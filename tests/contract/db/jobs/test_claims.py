"""Who may claim a job and when, and how long a claim holds."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from shared import clock
from shared.db import sql_clock, workers
from shared.db.jobs import claims, transitions
from shared.db.jobs.claims import LostRace, StopRequests
from shared.db.models import Job
from shared.errors import StorageFull
from shared.states import DesiredState, State
from tests.contract.db.jobs.claimed_jobs import WEIGHTS, bring_to, claimed, load, take
from tests.support.factories import add_job


def test_a_claim_raises_the_attempt_and_names_the_worker(database) -> None:
    claim = claimed(database)
    job = load(database, claim.job_id)
    assert (job.state, job.attempt, job.worker, job.weights) == ("running", 1, "w1", WEIGHTS)
    assert job.started_at is not None


@pytest.mark.parametrize("state", [state for state in State if state != State.QUEUED])
def test_only_a_queued_job_can_be_claimed(database, state) -> None:
    claim = bring_to(database, state)
    with database.writing() as session:
        assert take(session, claim.job_id, "w2") is None
    job = load(database, claim.job_id)
    assert (job.state, job.attempt, job.worker) == (state, 1, "w1")


def test_an_unknown_job_cannot_be_claimed(database) -> None:
    with database.writing() as session:
        assert take(session, "no-such-job") is None


def test_a_claim_takes_its_message_off_the_books(database) -> None:
    job_id = add_job(database, dispatched_at=clock.now())
    with database.writing() as session:
        take(session, job_id)
    assert load(database, job_id).dispatched_at is None


def test_a_retried_job_is_not_to_be_had_before_its_time(database) -> None:
    claim = claimed(database)
    with database.writing() as session:
        transitions.retry_later(session, claim, StorageFull(), after_s=60)
        assert take(session, claim.job_id) is None
        session.execute(update(Job).values(retry_at=sql_clock.now_plus(-1)))
        assert take(session, claim.job_id) is not None
    assert load(database, claim.job_id).retries == 1


@pytest.mark.parametrize("begun", [False, True])
def test_a_job_is_not_begun_after_its_deadline_but_goes_on_after_it(database, begun) -> None:
    job_id = add_job(database, start_by=datetime(2020, 1, 1, tzinfo=UTC))
    with database.writing() as session:
        session.execute(update(Job).values(attempt=int(begun)))
        assert (take(session, job_id) is not None) is begun


def test_no_job_is_begun_while_the_queue_is_paused(database) -> None:
    job_id = add_job(database)
    with database.writing() as session:
        workers.pause_queue(session)
        assert take(session, job_id) is None
        workers.resume_queue(session)
        assert take(session, job_id) is not None


@pytest.mark.parametrize("wish", [DesiredState.PAUSE, DesiredState.DRAIN])
def test_a_worker_told_to_wait_gets_no_job_and_others_do(database, wish) -> None:
    job_id = add_job(database)
    with database.writing() as session:
        workers.record_heartbeat(session, "w1")
        workers.set_desired_state(session, "w1", wish)
        assert take(session, job_id, "w1") is None
        assert take(session, job_id, "w2") is not None


def test_a_lease_ends_by_the_databases_clock(database, monkeypatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: datetime(2001, 1, 1, tzinfo=UTC))  # a worker's clock that is wrong
    claim = claimed(database)
    with database.reading() as session:
        now = session.scalar(select(sql_clock.now()))
    assert timedelta(0) < load(database, claim.job_id).lease_expires_at - now <= timedelta(seconds=20)
    with pytest.raises(LostRace), database.writing() as session:
        transitions.lose(session, claim, expired_only=True)


def test_a_lease_that_has_ended_may_be_renewed_until_another_takes_the_job(database) -> None:
    claim = claimed(database)
    with database.writing() as session:
        session.execute(update(Job).values(lease_expires_at=sql_clock.now_plus(-5)))
        claims.renew(session, claim, lease_s=20)
    with pytest.raises(LostRace), database.writing() as session:
        transitions.lose(session, claim, expired_only=True)


def test_a_renewal_tells_of_a_drain(database) -> None:
    claim = claimed(database)
    with database.writing() as session:
        workers.record_heartbeat(session, "w1")
        assert claims.renew(session, claim, lease_s=20) == StopRequests(cancel=False, drain=False)
        workers.set_desired_state(session, "w1", DesiredState.DRAIN)
        assert claims.renew(session, claim, lease_s=20) == StopRequests(cancel=False, drain=True)
