"""The life of one job in a worker, with a painter that misbehaves on demand."""

import hashlib
import json
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from shared.db import workers
from shared.db.jobs import claims, transitions
from shared.errors import DatabaseUnavailable, InvalidParams, OutOfMemory, StorageFull
from shared.imaging import codec
from shared.messaging.progress import RedisProgress
from shared.painting.params import StyleParams
from shared.states import State
from tests.support.claims import claim_job
from tests.support.factories import add_job, picture
from tests.support.fakes import FakePainter
from tests.support.job_runs import every_chunk_asks, load, make_due, queue, run_one


def test_a_painted_job_has_its_picture_losses_and_manifest_in_storage(context, database, store) -> None:
    job_id = queue(database, store)
    assert run_one(job_id, context) == State.SUCCEEDED
    job = load(context, job_id)
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


def test_every_step_is_told_and_the_last_is_in_the_database(context, database, store, redis) -> None:
    job_id = queue(database, store)
    run_one(job_id, context)
    told = RedisProgress(redis)
    assert [step["step"] for step in told.all_steps(job_id)] == [1, 2, 3, 4, 5, 6]
    assert load(context, job_id).progress["step"] == 6
    *_, preview, end = told.events(job_id)
    assert (preview.name, preview.data["step"]) == ("preview", 6)
    assert end.data == {"state": "succeeded"}


def test_a_job_is_run_once_however_often_its_message_comes(context, database, store) -> None:
    job_id = queue(database, store)
    assert [run_one(job_id, context) for _ in range(3)] == [State.SUCCEEDED, None, None]
    assert load(context, job_id).attempt == 1


@pytest.mark.parametrize("way", ["quickly", "surely"])
def test_a_wish_to_cancel_keeps_the_picture_so_far(context, database, store, redis, way, monkeypatch) -> None:
    job_id = queue(database, store)

    def cancel(number: int) -> None:
        if number == 1:
            if way == "quickly":
                context.progress.signal_cancel(job_id)
            else:
                with database.writing() as session:
                    transitions.request_cancel(session, job_id)
                every_chunk_asks(monkeypatch)

    assert run_one(job_id, replace(context, painter=FakePainter(cancel))) == State.CANCELED
    job = load(context, job_id)
    assert job.progress["step"] == 4
    assert job.result["partial"] is True
    assert store.exists(job.result["key"])


def test_an_error_of_ours_fails_the_job_with_its_code(context, database, store) -> None:
    def refuse(number: int) -> None:
        raise InvalidParams("The picture is too narrow.", least=40)

    job_id = queue(database, store)
    assert run_one(job_id, replace(context, painter=FakePainter(refuse))) == State.FAILED
    job = load(context, job_id)
    assert (job.error_code, job.error_message) == ("invalid_params", "The picture is too narrow.")


def test_an_unknown_error_is_tried_again_in_a_fresh_process_then_fails_without_its_text(
    context, database, store
) -> None:
    def stumble(number: int) -> None:
        raise ZeroDivisionError("secret place")

    spoilt = []
    stumbling = replace(context, painter=FakePainter(stumble), spoil=lambda: spoilt.append(1))
    job_id = queue(database, store)
    assert run_one(job_id, stumbling) == State.QUEUED
    make_due(database, job_id)
    assert run_one(job_id, stumbling) == State.FAILED
    assert len(spoilt) == 2
    job = load(context, job_id)
    assert job.error_code == "internal"
    assert "secret" not in job.error_message


def test_a_damaged_picture_fails_the_job_and_the_next_one_is_painted(context, database, store) -> None:
    bad = queue(database, store, codec.encode(picture(), format="png")[:-40])
    good = queue(database, store)
    assert run_one(bad, context) == State.FAILED
    assert load(context, bad).error_code == "corrupt_image"
    assert run_one(good, context) == State.SUCCEEDED


def test_bytes_gone_from_storage_fail_the_job(context, database, store) -> None:
    job_id = add_job(database)
    assert run_one(job_id, context) == State.FAILED
    assert load(context, job_id).error_code == "corrupt_image"


def test_a_job_that_wants_other_weights_fails(context, database, store) -> None:
    job_id = queue(database, store, weights_wanted="imagenet")
    assert run_one(job_id, context) == State.FAILED
    assert load(context, job_id).error_code == "weights_unavailable"


def test_a_worker_that_lost_its_claim_writes_nothing_more(context, database, store, monkeypatch) -> None:
    every_chunk_asks(monkeypatch)
    job_id = queue(database, store)

    def lose(number: int) -> None:
        if number == 1:
            with database.writing() as session:
                transitions.give_back(session, claims.Claim(job_id, 1, "w1"), reason="test")
                claim_job(session, job_id, worker="w2", weights={}, lease_s=20)

    assert run_one(job_id, replace(context, painter=FakePainter(lose))) is None
    job = load(context, job_id)
    assert (job.state, job.attempt, job.worker, job.result) == ("running", 2, "w2", None)


def test_a_full_storage_sends_the_job_back_and_holds_the_queue(context, database, store, monkeypatch) -> None:
    job_id = queue(database, store)
    with monkeypatch.context() as full:

        def refuse(*_: object) -> None:
            raise StorageFull

        full.setattr(store, "put_all", refuse)
        assert run_one(job_id, context) == State.QUEUED
    job = load(context, job_id)
    assert (job.retries, job.result, job.lease_expires_at) == (1, None, None)
    with database.reading() as session:
        assert workers.get_queue(session).held_for == "storage_full"
    assert run_one(job_id, context) is None  # its pause is not over
    make_due(database, job_id)
    assert run_one(job_id, context) == State.SUCCEEDED


def test_a_picture_too_large_for_the_memory_is_painted_once_more_in_a_fresh_process(context, database, store) -> None:
    def exhaust(number: int) -> None:
        raise OutOfMemory

    spoilt = []
    small = replace(context, painter=FakePainter(exhaust), spoil=lambda: spoilt.append(1))
    job_id = queue(database, store)
    assert run_one(job_id, small) == State.QUEUED
    assert spoilt == [1]
    make_due(database, job_id)
    assert run_one(job_id, small) == State.FAILED
    assert small.painter.sizes == [32, 32]
    assert load(context, job_id).error_code == "out_of_memory"


def test_a_job_over_its_time_limit_fails_and_keeps_its_picture(context, database, store) -> None:
    job_id = queue(database, store, time_limit_s=1e-6)
    assert run_one(job_id, context) == State.FAILED
    job = load(context, job_id)
    assert job.error_code == "timed_out"
    assert job.result["partial"] is True
    assert store.exists(job.result["key"])
    assert job.ran_s > 1e-6


def test_the_time_of_all_attempts_counts_towards_the_limit(context, database, store) -> None:
    job_id = queue(database, store, time_limit_s=60.0, ran_s=60.0)
    assert run_one(job_id, context) == State.FAILED
    assert load(context, job_id).error_code == "timed_out"


def test_the_painting_goes_on_while_redis_is_away(context, database, store, tmp_path) -> None:
    from shared.messaging import progress

    job_id = queue(database, store)
    away = RedisProgress(progress.connect(f"unix://{tmp_path}/away.sock"))
    assert run_one(job_id, replace(context, progress=away)) == State.SUCCEEDED


def test_the_picture_is_what_was_painted(context, database, store) -> None:
    job_id = queue(database, store)
    run_one(job_id, context)
    painted = codec.decode(store.get(load(context, job_id).result["key"]), max_px=10**6).rgb
    assert np.abs(painted - picture()).max() < 1 / 254


def test_the_end_is_written_once_a_lost_database_is_back(context, database, store, monkeypatch) -> None:
    job_id = queue(database, store)
    succeed, refused = transitions.succeed, []

    def away_twice(session, held, **values) -> None:
        if len(refused) < 2:
            refused.append(held)
            raise DatabaseUnavailable
        succeed(session, held, **values)

    monkeypatch.setattr("worker.jobs.attempt._FINISH_EVERY_S", 0.05)
    monkeypatch.setattr(transitions, "succeed", away_twice)
    assert run_one(job_id, context) == State.SUCCEEDED
    assert len(refused) == 2


@pytest.mark.parametrize("step", [1, 3])
def test_a_painting_that_diverges_fails_and_keeps_its_last_good_picture(context, database, store, step) -> None:
    job_id = queue(database, store)
    painter = FakePainter(diverging={0: step})
    assert run_one(job_id, replace(context, painter=painter)) == State.FAILED
    job = load(context, job_id)
    assert (job.error_code, job.error_message) == ("diverged", f"The loss is not finite at step {step}.")
    assert job.result["partial"] is True
    assert store.exists(job.result["key"])
    assert len(json.loads(store.get(job.result["losses_key"]))["step"]) == step - 1


def test_the_manifest_holds_all_that_painting_it_again_takes(context, database, store) -> None:
    job_id = queue(database, store)
    run_one(job_id, context)
    job = load(context, job_id)
    manifest = json.loads(store.get(job.result["manifest_key"]))
    png = store.get(job.result["key"])
    assert manifest["result"]["sha256"] == hashlib.sha256(png).hexdigest()
    assert manifest["images"] == [job.content_id]
    assert manifest["styles"] == job.styles
    assert (manifest["init"], manifest["masks"], manifest["group"]) == (None, [], 1)
    assert manifest["engine"] == {"precision": "float32", "tile_size": 0, "batch": 1, "peak_memory_bytes": 7}
    StyleParams.model_validate(manifest["params"])


def test_a_job_that_cannot_be_claimed_from_a_database_that_is_away_is_left_alone(
    context, database, store, monkeypatch
) -> None:
    job_id = queue(database, store)

    def away(*_: object, **__: object) -> None:
        raise DatabaseUnavailable

    with monkeypatch.context() as gone:
        gone.setattr(claims, "claim_jobs", away)
        assert run_one(job_id, context) is None
    assert run_one(job_id, context) == State.SUCCEEDED
