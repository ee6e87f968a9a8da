"""A claim stays alive by itself, and its holder knows when it does not."""

import threading
import time

import pytest
from sqlalchemy import update

from shared.db import workers
from shared.db.base import Database
from shared.db.jobs import queries, sweeps, transitions
from shared.db.jobs.claims import Claim, LostRace, StopRequests
from shared.db.models import Job
from shared.errors import DatabaseUnavailable
from shared.states import DesiredState, State
from tests.support.claims import claim_job
from tests.support.factories import add_job
from tests.support.waiting import wait_until
from worker.jobs import heartbeat as heartbeats
from worker.jobs.heartbeat import Heartbeat


@pytest.fixture(autouse=True)
def _fast(monkeypatch) -> None:
    monkeypatch.setattr(heartbeats, "_EVERY_S", 0.05)


def hold(database: Database, lease_s: float = 20.0, **values) -> Claim:
    with database.writing() as session:
        workers.record_heartbeat(session, "w1")
    job_id = add_job(database, **values)
    with database.writing() as session:
        claim = claim_job(session, job_id, worker="w1", weights={}, lease_s=lease_s)
    assert claim is not None
    return claim


def beating(claim: Claim, database: Database, lease_s: float = 20.0, leaving=lambda: False) -> Heartbeat:
    return Heartbeat(claim, database, lease_s=lease_s, claimed_at=time.monotonic(), leaving=leaving)


def job(database: Database, claim: Claim) -> Job:
    with database.reading() as session:
        return queries.get_job(session, claim.job_id)


def end_lease(database: Database, claim: Claim) -> None:
    with database.writing() as session:
        session.execute(update(Job).values(lease_expires_at=job(database, claim).created_at))
        assert sweeps.end_leases(session) == [(claim.job_id, State.QUEUED)]


def test_the_lease_moves_on_with_the_latest_step_and_the_time_run(database) -> None:
    claim = hold(database)
    before = job(database, claim).lease_expires_at
    with beating(claim, database) as heartbeat:
        heartbeat.ran_before_s = 100.0
        heartbeat.progress = {"step": 7}
        now = wait_until(lambda: (found := job(database, claim)).progress and found, "the step is written")
    assert now.progress == {"step": 7}
    assert now.lease_expires_at > before
    assert 100 < now.ran_s < 120


def test_a_claim_is_not_renewed_as_soon_as_it_is_made_or_renewed(database) -> None:
    claim = hold(database)
    heartbeat = beating(claim, database)
    assert heartbeat.fresh
    heartbeat._holds_until -= 0.6
    assert not heartbeat.fresh
    heartbeat._beat()
    assert heartbeat.fresh


def test_wishes_are_heard(database) -> None:
    claim = hold(database)
    with beating(claim, database) as heartbeat:
        assert heartbeat.check() == StopRequests()
        with database.writing() as session:
            transitions.request_cancel(session, claim.job_id)
            workers.set_desired_state(session, "w1", DesiredState.DRAIN)
        wait_until(lambda: heartbeat.check() == StopRequests(cancel=True, drain=True), "both wishes are heard")


def test_a_claim_taken_by_another_is_lost_for_good(database) -> None:
    claim = hold(database)
    with beating(claim, database) as heartbeat:
        end_lease(database, claim)
        with pytest.raises(LostRace):
            wait_until(lambda: heartbeat.check() and False, "the loss is noticed")
        with pytest.raises(LostRace):
            heartbeat.check()


def test_a_thread_that_died_is_made_good_by_the_loop(database, monkeypatch) -> None:
    monkeypatch.setattr(heartbeats, "_pulse", heartbeats._Pulse())
    monkeypatch.setattr(heartbeats._Pulse, "_run", lambda self: None)
    claim = hold(database)
    with beating(claim, database, lease_s=2.0) as heartbeat:
        before = job(database, claim).lease_expires_at
        heartbeat._holds_until -= 1.5
        heartbeat.check()
        assert job(database, claim).lease_expires_at != before
        end_lease(database, claim)
        heartbeat._holds_until -= 1.5
        with pytest.raises(LostRace):
            heartbeat.check()


class Outage:
    """Makes the database go away and come back."""

    def __init__(self, database: Database, monkeypatch) -> None:
        self.on = True
        writing = database.writing

        def away(name: str = "") -> object:
            if self.on:
                raise DatabaseUnavailable
            return writing(name)

        monkeypatch.setattr(database, "writing", away)


def test_on_a_lease_in_doubt_the_loop_waits_until_the_database_answers(database, monkeypatch) -> None:
    claim = hold(database)
    outage = Outage(database, monkeypatch)
    with beating(claim, database) as heartbeat:
        assert heartbeat.check() == StopRequests()  # the lease holds: painting goes on meanwhile
        heartbeat._holds_until = 0.0
        answers: list[StopRequests] = []
        waiting = threading.Thread(target=lambda: answers.append(heartbeat.check()))
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
        outage.on = False
        waiting.join(10)
    assert answers == [StopRequests()]


def test_a_worker_that_leaves_drops_a_lease_in_doubt(database, monkeypatch) -> None:
    claim = hold(database)
    Outage(database, monkeypatch)
    with beating(claim, database, leaving=lambda: True) as heartbeat:
        heartbeat._holds_until = 0.0
        with pytest.raises(LostRace):
            heartbeat.check()
