"""The life of one job in a worker, with a painter that misbehaves on demand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from shared import images
from shared.db import jobs, queries
from shared.db.base import Database
from shared.db.models import Job
from shared.errors import Diverged
from shared.progress import RedisProgress
from shared.states import State
from shared.storage import ImageStore, image_key
from tests.factories import add_image, add_job, picture
from worker.engine.null import stylize
from worker.engine.steps import Chunk
from worker.runner import Studio, run


@dataclass
class FakePainter:
    """Paints by the null engine and calls `between` after each chunk with that chunk's number."""

    between: Callable[[int], None] = lambda number: None
    weights: ClassVar = {"name": "patch", "sha256": "f00d"}
    device: ClassVar = {"kind": "fake"}

    def paint(self, content, styles, params) -> Iterator[Chunk]:
        for number, chunk in enumerate(stylize(content, styles, params, step_s=0.05), start=1):
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
    assert list(told.events(job_id))[-1].data == {"state": "succeeded"}
    assert Image.open(BytesIO(told.preview(job_id) or b"")).format == "JPEG"


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
                monkeypatch.setattr("worker.reporter._DATABASE_EVERY_S", 0)
                with database.writing() as session:
                    jobs.request_cancel(session, job_id)

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


def test_an_unknown_error_fails_the_job_without_its_text_and_spares_the_worker(studio, database, store) -> None:
    def stumble(number: int) -> None:
        raise ZeroDivisionError("secret place")

    job_id = queue(database, store)
    assert run(job_id, replace(studio, painter=FakePainter(stumble))) == State.FAILED
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
    monkeypatch.setattr("worker.reporter._DATABASE_EVERY_S", 0)
    job_id = queue(database, store)

    def lose(number: int) -> None:
        if number == 1:
            with database.writing() as session:
                jobs.give_back(session, jobs.Claim(job_id, 1, "w1"), reason="test")
                jobs.claim(session, job_id, worker="w2", weights={})

    assert run(job_id, replace(studio, painter=FakePainter(lose))) is None
    job = load(studio, job_id)
    assert (job.state, job.attempt, job.worker, job.result) == ("running", 2, "w2", None)


def test_a_full_storage_fails_the_job_as_retryable(studio, database, store, monkeypatch) -> None:
    from shared.errors import StorageFull

    job_id = queue(database, store)

    def refuse(*_: object) -> None:
        raise StorageFull

    monkeypatch.setattr(store, "put", refuse)
    assert run(job_id, studio) == State.FAILED
    job = load(studio, job_id)
    assert (job.error_code, job.error_retryable, job.result) == ("storage_full", True, None)


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


def test_a_drained_worker_hands_its_job_back_and_takes_no_other(studio, database, store) -> None:
    job_id, other = queue(database, store), queue(database, store)
    drained = replace(studio, draining=iter([False, True, True]).__next__)
    assert run(job_id, drained) == State.QUEUED
    assert run(other, drained) is None
    job = load(studio, job_id)
    assert (job.state, job.attempt, job.worker, job.result) == ("queued", 1, None, None)
    assert run(job_id, studio) == State.SUCCEEDED
    assert load(studio, job_id).attempt == 2
