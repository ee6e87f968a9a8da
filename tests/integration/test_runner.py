"""The life of one job in a worker, with a painter that misbehaves on demand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import update

from shared import clock, images
from shared.db import jobs, queries, workers
from shared.db.base import Database
from shared.db.models import Job
from shared.errors import DatabaseUnavailable, Diverged, OutOfMemory, StorageFull
from shared.progress import RedisProgress
from shared.states import State, Wish
from shared.storage import ImageStore, image_key
from tests.factories import add_image, add_job, picture
from worker.engine.null import stylize
from worker.engine.steps import Chunk
from worker.heartbeat import Heartbeat
from worker.runner import Studio, run


@dataclass
class FakePainter:
    """Paints by the null engine and calls `between` after each chunk with that chunk's number."""

    between: Callable[[int], None] = lambda number: None
    sizes: list[int] = field(default_factory=list)
    weights: ClassVar = {"name": "patch", "sha256": "f00d"}
    device: ClassVar = {"kind": "fake"}

    def paint(self, content, styles, params, resume=None) -> Iterator[Chunk]:
        self.sizes.append(params.size)
        for number, chunk in enumerate(stylize(content, styles, params, step_s=0.05, resume=resume), start=1):
            yield chunk
            self.between(number)


@pytest.fixture
def studio(settings, database, store, redis) -> Studio:
    return Studio("w1", settings, database, store, RedisProgress(redis), FakePainter())


def queue(database: Database, store: ImageStore, data: bytes | None = None, **values) -> str:
    data = data or images.encode(picture(), format="png")
    image_id = add_image(database, data)
    store.put(image_key(image_id), data)
    return add_job(database, image_id=image_id, params={"size": 32, "steps": 6}, **values)


def every_chunk_asks(monkeypatch) -> None:
    """Have the heartbeat renew at each chunk, so that no test waits for its thread."""
    check = Heartbeat.check

    def renew_first(heartbeat: Heartbeat):
        heartbeat._beat()
        return check(heartbeat)

    monkeypatch.setattr(Heartbeat, "check", renew_first)


def load(studio: Studio, job_id: str) -> Job:
    with studio.database.reading() as session:
        return queries.job(session, job_id)


def test_a_painted_job_has_its_picture_losses_and_manifest_in_storage(studio, database, store) -> None:
    job_id = queue(database, store)
    assert run(job_id, studio) == State.SUCCEEDED
    job = load(studio, job_id)
    assert (job.state, job.attempt, job.worker, job.weights) == ("succeeded", 1, "w1", FakePainter.weights)
    result = Image.open(BytesIO(store.get(job.result["key"])))
    assert (result.format, result.size) == ("PNG", (job.result["width"], job.result["height"]))
    losses = json.loads(store.get(job.result["losses_key"]))
    assert losses["step"] == [1, 2, 3, 4, 5, 6]
    assert len(losses["total"]) == 6
    manifest = json.loads(store.get(job.result["manifest_key"]))
    assert manifest["params"] == job.params
    assert manifest["content"] == job.content_id
    assert manifest["weights"] == {"name": "patch", "sha256": "f00d"}
    assert manifest["losses"]["last"]["total"] == losses["total"][-1]
    assert f"/{job.attempt}/" in job.result["key"]


def test_every_step_is_told_and_the_last_is_in_the_database(studio, database, store, redis) -> None:
    job_id = queue(database, store)
    run(job_id, studio)
    told = RedisProgress(redis)
    assert [step["step"] for step in told.all_steps(job_id)] == [1, 2, 3, 4, 5, 6]
    assert load(studio, job_id).progress["step"] == 6
    *_, preview, end = told.events(job_id)
    assert (preview.name, preview.data["step"]) == ("preview", 6)
    assert end.data == {"state": "succeeded"}


def test_a_job_is_run_once_however_often_its_message_comes(studio, database, store) -> None:
    job_id = queue(database, store)
    assert [run(job_id, studio) for _ in range(3)] == [State.SUCCEEDED, None, None]
    assert load(studio, job_id).attempt == 1


@pytest.mark.parametrize("way", ["quickly", "surely"])
def test_a_wish_to_cancel_keeps_the_picture_so_far(studio, database, store, redis, way, monkeypatch) -> None:
    job_id = queue(database, store)

    def cancel(number: int) -> None:
        if number == 1:
            if way == "quickly":
                studio.progress.wish_cancel(job_id)
            else:
                with database.writing() as session:
                    jobs.request_cancel(session, job_id)
                every_chunk_asks(monkeypatch)

    assert run(job_id, replace(studio, painter=FakePainter(cancel))) == State.CANCELED
    job = load(studio, job_id)
    assert job.progress["step"] == 4
    assert job.result["partial"] is True
    assert store.exists(job.result["key"])


def test_an_error_of_ours_fails_the_job_with_its_code(studio, database, store) -> None:
    def diverge(number: int) -> None:
        raise Diverged("The loss is not finite at step 3.", step=3)

    job_id = queue(database, store)
    assert run(job_id, replace(studio, painter=FakePainter(diverge))) == State.FAILED
    job = load(studio, job_id)
    assert (job.error_code, job.error_message) == ("diverged", "The loss is not finite at step 3.")


def test_an_unknown_error_is_tried_again_in_a_fresh_process_then_fails_without_its_text(
    studio, database, store
) -> None:
    def stumble(number: int) -> None:
        raise ZeroDivisionError("secret place")

    spoilt = []
    stumbling = replace(studio, painter=FakePainter(stumble), spoil=lambda: spoilt.append(1))
    job_id = queue(database, store)
    assert run(job_id, stumbling) == State.QUEUED
    make_due(database, job_id)
    assert run(job_id, stumbling) == State.FAILED
    assert len(spoilt) == 2
    job = load(studio, job_id)
    assert job.error_code == "internal"
    assert "secret" not in job.error_message


def test_a_damaged_picture_fails_the_job_and_the_next_one_is_painted(studio, database, store) -> None:
    bad = queue(database, store, images.encode(picture(), format="png")[:-40])
    good = queue(database, store)
    assert run(bad, studio) == State.FAILED
    assert load(studio, bad).error_code == "corrupt_image"
    assert run(good, studio) == State.SUCCEEDED


def test_bytes_gone_from_storage_fail_the_job(studio, database, store) -> None:
    job_id = add_job(database)
    assert run(job_id, studio) == State.FAILED
    assert load(studio, job_id).error_code == "corrupt_image"


def test_a_job_that_wants_other_weights_fails(studio, database, store) -> None:
    job_id = queue(database, store, weights_wanted="imagenet")
    assert run(job_id, studio) == State.FAILED
    assert load(studio, job_id).error_code == "weights_unavailable"


def test_a_worker_that_lost_its_claim_writes_nothing_more(studio, database, store, monkeypatch) -> None:
    every_chunk_asks(monkeypatch)
    job_id = queue(database, store)

    def lose(number: int) -> None:
        if number == 1:
            with database.writing() as session:
                jobs.give_back(session, jobs.Claim(job_id, 1, "w1"), reason="test")
                jobs.claim(session, job_id, worker="w2", weights={}, lease_s=20)

    assert run(job_id, replace(studio, painter=FakePainter(lose))) is None
    job = load(studio, job_id)
    assert (job.state, job.attempt, job.worker, job.result) == ("running", 2, "w2", None)


def make_due(database: Database, job_id: str) -> None:
    """Let a retry's pause be over."""
    with database.writing() as session:
        session.execute(update(Job).where(Job.id == job_id).values(retry_at=None))


def test_a_full_storage_sends_the_job_back_and_holds_the_queue(studio, database, store, monkeypatch) -> None:
    job_id = queue(database, store)
    with monkeypatch.context() as full:

        def refuse(*_: object) -> None:
            raise StorageFull

        full.setattr(store, "put", refuse)
        assert run(job_id, studio) == State.QUEUED
    job = load(studio, job_id)
    assert (job.retries, job.result, job.lease_expires_at) == (1, None, None)
    with database.reading() as session:
        assert workers.queue(session).held_for == "storage_full"
    assert run(job_id, studio) is None  # its pause is not over
    make_due(database, job_id)
    assert run(job_id, studio) == State.SUCCEEDED


def test_a_picture_too_large_for_the_memory_is_painted_smaller_once_in_a_fresh_process(studio, database, store) -> None:
    def exhaust(number: int) -> None:
        raise OutOfMemory

    spoilt = []
    small = replace(studio, painter=FakePainter(exhaust), spoil=lambda: spoilt.append(1))
    job_id = queue(database, store)
    assert run(job_id, small) == State.QUEUED
    assert spoilt == [1]
    assert run(job_id, small) == State.FAILED
    assert small.painter.sizes == [32, 22]
    assert load(studio, job_id).error_code == "out_of_memory"


def test_a_job_over_its_time_limit_fails_and_keeps_its_picture(studio, database, store) -> None:
    job_id = queue(database, store, time_limit_s=0.01)
    assert run(job_id, studio) == State.FAILED
    job = load(studio, job_id)
    assert job.error_code == "timed_out"
    assert job.result["partial"] is True
    assert store.exists(job.result["key"])
    assert job.ran_s > 0.01


def test_the_time_of_all_attempts_counts_towards_the_limit(studio, database, store) -> None:
    job_id = queue(database, store, time_limit_s=60.0, ran_s=59.99)
    assert run(job_id, studio) == State.FAILED
    assert load(studio, job_id).error_code == "timed_out"


def test_the_painting_goes_on_while_redis_is_away(studio, database, store, tmp_path) -> None:
    from shared import progress

    job_id = queue(database, store)
    away = RedisProgress(progress.connect(f"unix://{tmp_path}/away.sock"))
    assert run(job_id, replace(studio, progress=away)) == State.SUCCEEDED


def test_the_picture_is_what_was_painted(studio, database, store) -> None:
    job_id = queue(database, store)
    run(job_id, studio)
    painted = images.decode(store.get(load(studio, job_id).result["key"]), max_px=10**6).rgb
    assert np.abs(painted - picture()).max() < 1 / 254


def test_a_drained_worker_hands_its_job_back_with_a_checkpoint_and_takes_no_other(studio, database, store) -> None:
    job_id, other = queue(database, store), queue(database, store)
    drained = replace(studio, draining=iter([False, True, True]).__next__)
    assert run(job_id, drained) == State.QUEUED
    assert run(other, drained) is None
    job = load(studio, job_id)
    assert (job.state, job.attempt, job.worker, job.result) == ("queued", 1, None, None)
    assert job.checkpoint["step"] == 2
    assert store.exists(job.checkpoint["key"])


def test_the_next_attempt_goes_on_from_the_checkpoint_with_all_its_losses(studio, database, store, redis) -> None:
    job_id = queue(database, store)
    run(job_id, replace(studio, draining=iter([False, True, True]).__next__))
    assert run(job_id, studio) == State.SUCCEEDED
    job = load(studio, job_id)
    assert (job.attempt, job.checkpoint, job.lost_attempts) == (2, None, 0)
    losses = json.loads(store.get(job.result["losses_key"]))
    assert losses["step"] == [1, 2, 3, 4, 5, 6]
    assert losses["total"] == [2.0 / step for step in range(1, 7)]
    assert [step["step"] for step in RedisProgress(redis).all_steps(job_id)] == [1, 2, 3, 4, 5, 6]


def test_an_unreadable_checkpoint_costs_the_steps_and_not_the_job(studio, database, store) -> None:
    job_id = queue(database, store)
    run(job_id, replace(studio, draining=iter([False, True, True]).__next__))
    store.put(load(studio, job_id).checkpoint["key"], b"PK half a file")
    assert run(job_id, studio) == State.SUCCEEDED
    assert json.loads(store.get(load(studio, job_id).result["losses_key"]))["step"] == [1, 2, 3, 4, 5, 6]


def test_a_checkpoint_is_made_by_time_and_clears_the_count_of_lost_attempts(studio, database, store) -> None:
    often = replace(studio, settings=studio.settings.model_copy(update={"checkpoint_s": 0.0}))
    seen = []

    def look(number: int) -> None:
        job = load(studio, job_id)
        seen.append((job.checkpoint["step"], job.lost_attempts))

    job_id = queue(database, store, lost_attempts=2)
    run(job_id, replace(often, painter=FakePainter(look)))
    assert seen == [(2, 0), (4, 0)]


def test_a_storage_too_full_for_a_checkpoint_does_not_stop_the_painting(studio, database, store, monkeypatch) -> None:
    put = store.put

    def refuse_checkpoints(key: str, data: bytes) -> None:
        if "checkpoint" in key:
            raise StorageFull
        put(key, data)

    monkeypatch.setattr(store, "put", refuse_checkpoints)
    often = replace(studio, settings=studio.settings.model_copy(update={"checkpoint_s": 0.0}))
    assert run(queue(database, store), often) == State.SUCCEEDED


@pytest.mark.parametrize("wish", [Wish.PAUSE, Wish.DRAIN])
def test_a_worker_told_to_wait_takes_no_job_and_has_it_sent_elsewhere(studio, database, store, wish) -> None:
    job_id = queue(database, store, dispatched_at=clock.now())
    with database.writing() as session:
        workers.beat(session, "w1")
        workers.instruct(session, "w1", wish)
    assert run(job_id, studio) is None
    job = load(studio, job_id)
    assert (job.state, job.dispatched_at) == ("queued", None)


def test_a_worker_told_to_drain_hands_its_job_back(studio, database, store, monkeypatch) -> None:
    every_chunk_asks(monkeypatch)
    with database.writing() as session:
        workers.beat(session, "w1")

    def drain(number: int) -> None:
        with database.writing() as session:
            workers.instruct(session, "w1", Wish.DRAIN)

    job_id = queue(database, store)
    assert run(job_id, replace(studio, painter=FakePainter(drain))) == State.QUEUED
    assert load(studio, job_id).checkpoint["step"] == 4


def test_the_end_is_written_once_a_lost_database_is_back(studio, database, store, monkeypatch) -> None:
    job_id = queue(database, store)
    succeed, refused = jobs.succeed, []

    def away_twice(session, held, **values) -> None:
        if len(refused) < 2:
            refused.append(held)
            raise DatabaseUnavailable
        succeed(session, held, **values)

    monkeypatch.setattr("worker.runner._FINISH_EVERY_S", 0.05)
    monkeypatch.setattr(jobs, "succeed", away_twice)
    assert run(job_id, studio) == State.SUCCEEDED
    assert len(refused) == 2
