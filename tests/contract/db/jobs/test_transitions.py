"""Every write to a job, tried from every state."""

import pytest
from sqlalchemy import select

from shared.db.jobs import claims, transitions
from shared.db.jobs.claims import LostRace
from shared.db.models import JobEvent
from shared.errors import Diverged, IllegalTransition, NotFound, StorageFull
from shared.states import State
from tests.contract.db.jobs.claimed_jobs import RESULT, bring_to, claimed, events, load, take
from tests.support.factories import add_job

WORKER_WRITES = {
    "succeed": lambda session, claim: transitions.succeed(session, claim, result=RESULT),
    "fail": lambda session, claim: transitions.fail(session, claim, Diverged()),
    "stop": lambda session, claim: transitions.stop(session, claim, result=None),
    "give_back": lambda session, claim: transitions.give_back(session, claim, reason="drain"),
    "retry_later": lambda session, claim: transitions.retry_later(session, claim, StorageFull(), after_s=1),
    "lose": transitions.lose,
    "renew": lambda session, claim: claims.renew(session, claim, lease_s=20, progress={"step": 2}),
    "keep_checkpoint": lambda session, claim: claims.save_checkpoint(session, claim, {"key": "k", "step": 1}),
}
ENDS = {
    "succeed": "succeeded",
    "fail": "failed",
    "stop": "canceled",
    "give_back": "queued",
    "retry_later": "queued",
    "lose": "queued",
    "renew": "running",
    "keep_checkpoint": "running",
}


def test_a_new_job_is_queued_and_says_so(database) -> None:
    job_id = add_job(database)
    job = load(database, job_id)
    assert (job.state, job.attempt, job.worker) == ("queued", 0, None)
    assert job.created_at.utcoffset().total_seconds() == 0
    assert events(database, job_id) == ["job_queued"]


@pytest.mark.parametrize("write", WORKER_WRITES)
def test_a_worker_that_holds_the_job_may_write(database, write) -> None:
    claim = claimed(database)
    with database.writing() as session:
        WORKER_WRITES[write](session, claim)
    assert load(database, claim.job_id).state == ENDS[write]


@pytest.mark.parametrize("state", [state for state in State if state != State.RUNNING])
@pytest.mark.parametrize("write", WORKER_WRITES)
def test_no_worker_writes_to_a_job_that_does_not_run(database, write, state) -> None:
    claim = bring_to(database, state)
    before = events(database, claim.job_id)
    with pytest.raises(LostRace), database.writing() as session:
        WORKER_WRITES[write](session, claim)
    assert load(database, claim.job_id).state == state
    assert events(database, claim.job_id) == before


@pytest.mark.parametrize("write", WORKER_WRITES)
def test_an_older_attempt_never_writes_over_a_newer_one(database, write) -> None:
    old = claimed(database)
    with database.writing() as session:
        transitions.give_back(session, old, reason="lease ended")
        new = take(session, old.job_id, "w2")
    assert new is not None
    assert new.attempt == 2
    with pytest.raises(LostRace), database.writing() as session:
        WORKER_WRITES[write](session, old)
    assert (load(database, old.job_id).state, load(database, old.job_id).worker) == ("running", "w2")


def test_a_failed_job_keeps_its_error(database) -> None:
    claim = claimed(database)
    with database.writing() as session:
        transitions.fail(session, claim, Diverged("at step 7"))
    job = load(database, claim.job_id)
    assert (job.error_code, job.error_message, job.error_retryable) == ("diverged", "at step 7", False)
    assert job.ended_at is not None


def test_canceling_a_queued_job_ends_it_at_once(database) -> None:
    job_id = add_job(database)
    with database.writing() as session:
        assert transitions.request_cancel(session, job_id) == State.CANCELED
    assert load(database, job_id).state == "canceled"
    assert events(database, job_id) == ["job_queued", "job_canceled"]


def test_canceling_a_running_job_is_a_wish_that_the_worker_hears(database) -> None:
    claim = claimed(database)
    for _again in range(2):
        with database.writing() as session:
            assert transitions.request_cancel(session, claim.job_id) == State.RUNNING
    with database.writing() as session:
        assert claims.renew(session, claim, lease_s=20).cancel is True
    assert events(database, claim.job_id).count("cancel_requested") == 1


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.EXPIRED])
def test_an_ended_job_cannot_be_canceled(database, state) -> None:
    claim = bring_to(database, state)
    with pytest.raises(IllegalTransition), database.writing() as session:
        transitions.request_cancel(session, claim.job_id)


def test_canceling_twice_is_canceling_once(database) -> None:
    job_id = add_job(database)
    for _again in range(2):
        with database.writing() as session:
            assert transitions.request_cancel(session, job_id) == State.CANCELED


def test_canceling_an_unknown_job_says_so(database) -> None:
    with pytest.raises(NotFound), database.writing() as session:
        transitions.request_cancel(session, "no-such-job")


@pytest.mark.parametrize("write", ["give_back", "retry_later", "lose"])
def test_a_wish_to_cancel_outlives_the_attempt(database, write) -> None:
    claim = claimed(database)
    with database.writing() as session:
        transitions.request_cancel(session, claim.job_id)
        assert WORKER_WRITES[write](session, claim) == State.CANCELED
    assert load(database, claim.job_id).state == "canceled"
    assert events(database, claim.job_id)[-1] == "job_canceled"


def test_a_job_that_takes_its_worker_down_three_times_fails(database) -> None:
    claim = claimed(database)
    for state in (State.QUEUED, State.QUEUED, State.FAILED):
        with database.writing() as session:
            assert transitions.lose(session, claim) == state
            claim = take(session, claim.job_id) or claim
    job = load(database, claim.job_id)
    assert (job.state, job.error_code, job.attempt) == ("failed", "worker_lost", 3)


def test_a_further_checkpoint_forgives_lost_attempts(database) -> None:
    claim = claimed(database, lost_attempts=2)
    with database.writing() as session:
        claims.save_checkpoint(session, claim, {"key": "k", "step": 9})
        assert transitions.lose(session, claim) == State.QUEUED
    assert load(database, claim.job_id).checkpoint == {"key": "k", "step": 9}


def test_an_error_in_the_transaction_leaves_nothing_behind(database) -> None:
    job_id = add_job(database)

    def break_off() -> None:
        with database.writing() as session:
            transitions.request_cancel(session, job_id)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()
    assert load(database, job_id).state == "queued"
    with database.reading() as session:
        assert len(session.scalars(select(JobEvent)).all()) == 1
