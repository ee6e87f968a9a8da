"""How a job is handed back, and goes on where it was."""

import json
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest

from shared import clock
from shared.db import workers
from shared.errors import StorageFull
from shared.messaging.progress import RedisProgress
from shared.states import DesiredState, State
from tests.support.fakes import FakePainter
from tests.support.job_runs import every_chunk_asks, load, queue, run_one


def test_a_drained_worker_hands_its_job_back_with_a_checkpoint_and_takes_no_other(context, database, store) -> None:
    job_id, other = queue(database, store), queue(database, store)
    drained = replace(context, draining=iter([False, True, True]).__next__)
    assert run_one(job_id, drained) == State.QUEUED
    assert run_one(other, drained) is None
    job = load(context, job_id)
    assert (job.state, job.attempt, job.worker, job.result) == ("queued", 1, None, None)
    assert job.checkpoint["step"] == 2
    assert store.exists(job.checkpoint["key"])


def test_the_next_attempt_goes_on_from_the_checkpoint_with_all_its_losses(context, database, store, redis) -> None:
    job_id = queue(database, store)
    run_one(job_id, replace(context, draining=iter([False, True, True]).__next__))
    assert run_one(job_id, context) == State.SUCCEEDED
    job = load(context, job_id)
    assert (job.attempt, job.checkpoint, job.lost_attempts) == (2, None, 0)
    losses = json.loads(store.get(job.result["losses_key"]))
    assert losses["step"] == [1, 2, 3, 4, 5, 6]
    assert losses["total"] == [2.0 / step for step in range(1, 7)]
    assert [step["step"] for step in RedisProgress(redis).all_steps(job_id)] == [1, 2, 3, 4, 5, 6]


def test_an_unreadable_checkpoint_costs_the_steps_and_not_the_job(context, database, store) -> None:
    job_id = queue(database, store)
    run_one(job_id, replace(context, draining=iter([False, True, True]).__next__))
    store.put(load(context, job_id).checkpoint["key"], b"PK half a file")
    assert run_one(job_id, context) == State.SUCCEEDED
    assert json.loads(store.get(load(context, job_id).result["losses_key"]))["step"] == [1, 2, 3, 4, 5, 6]


def test_a_job_with_a_checkpoint_from_before_an_upgrade_starts_again(context, database, store) -> None:
    job_id = queue(database, store)
    run_one(job_id, replace(context, draining=iter([False, True, True]).__next__))
    key = load(context, job_id).checkpoint["key"]
    with np.load(BytesIO(store.get(key))) as file:
        arrays = {{"position": "place"}.get(name, name): file[name] for name in file.files}
    older = BytesIO()
    np.savez(older, **arrays)
    store.put(key, older.getvalue())
    assert run_one(job_id, context) == State.SUCCEEDED
    job = load(context, job_id)
    assert (job.attempt, job.retries, job.error_code) == (2, 0, None)
    assert json.loads(store.get(job.result["losses_key"]))["step"] == [1, 2, 3, 4, 5, 6]


def test_a_checkpoint_is_made_by_time_and_clears_the_count_of_lost_attempts(
    context, database, store, monkeypatch
) -> None:
    monkeypatch.setattr("worker.jobs.checkpoints._MOST_SHARE", float("inf"))
    often = replace(context, settings=context.settings.model_copy(update={"checkpoint_s": 0.0}))
    seen = []

    def look(number: int) -> None:
        job = load(context, job_id)
        seen.append((job.checkpoint["step"], job.lost_attempts))

    job_id = queue(database, store, lost_attempts=2)
    run_one(job_id, replace(often, painter=FakePainter(look)))
    assert seen == [(2, 0), (4, 0)]


def test_a_storage_too_full_for_a_checkpoint_does_not_stop_the_painting(context, database, store, monkeypatch) -> None:
    put = store.put

    def refuse_checkpoints(key: str, data: bytes) -> None:
        if "checkpoint" in key:
            raise StorageFull
        put(key, data)

    monkeypatch.setattr(store, "put", refuse_checkpoints)
    often = replace(context, settings=context.settings.model_copy(update={"checkpoint_s": 0.0}))
    assert run_one(queue(database, store), often) == State.SUCCEEDED


@pytest.mark.parametrize("wish", [DesiredState.PAUSE, DesiredState.DRAIN])
def test_a_worker_told_to_wait_takes_no_job_and_has_it_sent_elsewhere(context, database, store, wish) -> None:
    job_id = queue(database, store, dispatched_at=clock.now())
    with database.writing() as session:
        workers.record_heartbeat(session, "w1")
        workers.set_desired_state(session, "w1", wish)
    assert run_one(job_id, context) is None
    job = load(context, job_id)
    assert (job.state, job.dispatched_at) == ("queued", None)


def test_a_worker_told_to_drain_hands_its_job_back(context, database, store, monkeypatch) -> None:
    every_chunk_asks(monkeypatch)
    with database.writing() as session:
        workers.record_heartbeat(session, "w1")

    def drain(number: int) -> None:
        with database.writing() as session:
            workers.set_desired_state(session, "w1", DesiredState.DRAIN)

    job_id = queue(database, store)
    assert run_one(job_id, replace(context, painter=FakePainter(drain))) == State.QUEUED
    assert load(context, job_id).checkpoint["step"] == 4
