"""Every write to a job, tried from every state."""

from __future__ import annotations

import pytest
from sqlalchemy import select, update

from shared.db import jobs, queries
from shared.db.base import Database
from shared.db.jobs import Claim, LostRace
from shared.db.models import Job, JobEvent
from shared.errors import Diverged, IllegalTransition, NotFound
from shared.states import State
from tests.factories import add_job

WEIGHTS = {"name": "patch", "sha256": "0"}
RESULT = {"key": "jobs/x/1/result.png"}


def claimed(database: Database) -> Claim:
    job_id = add_job(database)
    with database.writing() as session:
        claim = jobs.claim(session, job_id, worker="w1", weights=WEIGHTS)
    assert claim is not None
    return claim


def load(database: Database, job_id: str) -> Job:
    with database.reading() as session:
        return queries.job(session, job_id)


def events(database: Database, job_id: str) -> list[str]:
    with database.reading() as session:
        return [event.name for event in queries.job_events(session, job_id)]


def bring_to(database: Database, state: State) -> Claim:
    """Make a claimed job and force its state, whatever the rules."""
    claim = claimed(database)
    values = {"state": state}
    if state == State.FAILED:
        values["error_code"] = "internal"
    if state == State.SUCCEEDED:
        values["result"] = RESULT
    with database.writing() as session:
        session.execute(update(Job).where(Job.id == claim.job_id).values(**values))
    return claim


WORKER_WRITES = {
    "succeed": lambda session, claim: jobs.succeed(session, claim, result=RESULT, progress={"step": 4}),
    "fail": lambda session, claim: jobs.fail(session, claim, Diverged()),
    "stop": lambda session, claim: jobs.stop(session, claim, result=None, progress=None),
    "give_back": lambda session, claim: jobs.give_back(session, claim, reason="drain"),
    "record_progress": lambda session, claim: jobs.record_progress(session, claim, {"step": 2}),
}
ENDS = {
    "succeed": "succeeded",
    "fail": "failed",
    "stop": "canceled",
    "give_back": "queued",
    "record_progress": "running",
}


def test_a_new_job_is_queued_and_says_so(database) -> None:
    job_id = add_job(database)
    job = load(database, job_id)
    assert (job.state, job.attempt, job.worker) == ("queued", 0, None)
    assert job.created_at.utcoffset().total_seconds() == 0
    assert events(database, job_id) == ["job_queued"]


def test_a_claim_raises_the_attempt_and_names_the_worker(database) -> None:
    claim = claimed(database)
    job = load(database, claim.job_id)
    assert (job.state, job.attempt, job.worker, job.weights) == ("running", 1, "w1", WEIGHTS)
    assert job.started_at is not None


@pytest.mark.parametrize("state", [state for state in State if state != State.QUEUED])
def test_only_a_queued_job_can_be_claimed(database, state) -> None:
    claim = bring_to(database, state)
    with database.writing() as session:
        assert jobs.claim(session, claim.job_id, worker="w2", weights=WEIGHTS) is None
    job = load(database, claim.job_id)
    assert (job.state, job.attempt, job.worker) == (state, 1, "w1")


def test_an_unknown_job_cannot_be_claimed(database) -> None:
    with database.writing() as session:
        assert jobs.claim(session, "no-such-job", worker="w", weights=WEIGHTS) is None


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
        jobs.give_back(session, old, reason="lease ended")
        new = jobs.claim(session, old.job_id, worker="w2", weights=WEIGHTS)
    assert new is not None
    assert new.attempt == 2
    with pytest.raises(LostRace), database.writing() as session:
        WORKER_WRITES[write](session, old)
    assert (load(database, old.job_id).state, load(database, old.job_id).worker) == ("running", "w2")


def test_a_failed_job_keeps_its_error(database) -> None:
    claim = claimed(database)
    with database.writing() as session:
        jobs.fail(session, claim, Diverged("at step 7"))
    job = load(database, claim.job_id)
    assert (job.error_code, job.error_message, job.error_retryable) == ("diverged", "at step 7", False)
    assert job.ended_at is not None


def test_canceling_a_queued_job_ends_it_at_once(database) -> None:
    job_id = add_job(database)
    with database.writing() as session:
        assert jobs.request_cancel(session, job_id) == State.CANCELED
    assert load(database, job_id).state == "canceled"
    assert events(database, job_id) == ["job_queued", "job_canceled"]


def test_canceling_a_running_job_is_a_wish_that_the_worker_hears(database) -> None:
    claim = claimed(database)
    for _again in range(2):
        with database.writing() as session:
            assert jobs.request_cancel(session, claim.job_id) == State.RUNNING
    with database.writing() as session:
        assert jobs.record_progress(session, claim, {"step": 1}) is True
    assert events(database, claim.job_id).count("cancel_requested") == 1


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.EXPIRED])
def test_an_ended_job_cannot_be_canceled(database, state) -> None:
    claim = bring_to(database, state)
    with pytest.raises(IllegalTransition), database.writing() as session:
        jobs.request_cancel(session, claim.job_id)


def test_canceling_twice_is_canceling_once(database) -> None:
    job_id = add_job(database)
    for _again in range(2):
        with database.writing() as session:
            assert jobs.request_cancel(session, job_id) == State.CANCELED


def test_canceling_an_unknown_job_says_so(database) -> None:
    with pytest.raises(NotFound), database.writing() as session:
        jobs.request_cancel(session, "no-such-job")


def test_the_wish_outlives_a_claim_given_back(database) -> None:
    claim = claimed(database)
    with database.writing() as session:
        jobs.request_cancel(session, claim.job_id)
        jobs.give_back(session, claim, reason="drain")
        again = jobs.claim(session, claim.job_id, worker="w2", weights=WEIGHTS)
        assert jobs.record_progress(session, again, {"step": 1}) is True


def test_an_error_in_the_transaction_leaves_nothing_behind(database) -> None:
    job_id = add_job(database)

    def break_off() -> None:
        with database.writing() as session:
            jobs.request_cancel(session, job_id)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()
    assert load(database, job_id).state == "queued"
    with database.reading() as session:
        assert len(session.scalars(select(JobEvent)).all()) == 1
