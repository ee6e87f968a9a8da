"""Jobs painted together: each has its own claim, and what ends one does not end the others."""

import json
from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import update

from shared.db.base import Database
from shared.db.jobs import claims, transitions
from shared.db.models import Job
from shared.errors import DatabaseUnavailable, OutOfMemory, StorageFull
from shared.imaging import codec
from shared.states import State
from shared.storage.store import image_key
from tests.support.claims import claim_job
from tests.support.factories import picture
from tests.support.fakes import FakePainter
from tests.support.job_runs import every_chunk_asks, load, make_due, queue, run_one, upload
from worker.jobs.context import WorkerContext
from worker.jobs.null_painter import NullPainter
from worker.jobs.runner import run

ALL = {0, 1, 2, 3}


@pytest.fixture
def style(database, store) -> str:
    return upload(database, store, codec.encode(picture(seed=99), format="png"))


@pytest.fixture
def group(database, store, style) -> list[str]:
    """Four jobs of one style, each with a content of its own."""
    contents = [codec.encode(picture(seed=seed), format="png") for seed in range(4)]
    chosen = [{"image": style, "weight": 1.0}]
    return [queue(database, store, content, group_key="4:a", styles=chosen) for content in contents]


def with_painter(context: WorkerContext, *arguments, **options) -> WorkerContext:
    return replace(context, painter=FakePainter(*arguments, **options))


def others_succeed(states: dict[str, State], group: list[str], but: int) -> bool:
    return all(states[job_id] == State.SUCCEEDED for job_id in group if job_id != group[but])


def test_jobs_of_a_group_are_painted_in_one_call_and_each_has_its_own_picture(context, group, store) -> None:
    assert run(group, context) == dict.fromkeys(group, State.SUCCEEDED)
    assert context.painter.calls == [[0, 1, 2, 3]] * 3
    for seed, job_id in enumerate(group):
        job = load(context, job_id)
        painted = codec.decode(store.get(job.result["key"]), max_px=10**6).rgb
        assert np.abs(painted - picture(seed=seed)).max() < 1 / 254
        assert json.loads(store.get(job.result["losses_key"]))["step"] == [1, 2, 3, 4, 5, 6]
        manifest = json.loads(store.get(job.result["manifest_key"]))
        assert (manifest["group"], manifest["engine"]["batch"]) == (4, 4)


def test_the_null_engine_paints_a_group(context, group) -> None:
    null = NullPainter(context.settings.model_copy(update={"null_step_s": 0.0}))
    assert run(group, replace(context, painter=null)) == dict.fromkeys(group, State.SUCCEEDED)


def test_one_that_is_canceled_leaves_the_others_alone(context, group) -> None:
    canceling = with_painter(context, lambda number: context.progress.signal_cancel(group[1]))
    states = run(group, canceling)
    assert states[group[1]] == State.CANCELED
    assert others_succeed(states, group, 1)
    assert load(context, group[1]).result["partial"] is True
    assert canceling.painter.calls == [[0, 1, 2, 3], [0, 1, 2, 3], [0, 2, 3]]


def test_one_whose_content_is_damaged_fails_alone(context, group, store) -> None:
    store.put(image_key(load(context, group[2]).content_id), b"\x89PNG\r\n\x1a\n and no more")
    states = run(group, context)
    assert states[group[2]] == State.FAILED
    assert load(context, group[2]).error_code == "corrupt_image"
    assert others_succeed(states, group, 2)
    assert context.painter.calls[0] == [0, 1, 2]


def test_a_damaged_style_fails_all(context, group, store, style) -> None:
    store.put(image_key(style), b"\x89PNG\r\n\x1a\n and no more")
    assert run(group, context) == dict.fromkeys(group, State.FAILED)
    assert {load(context, job_id).error_code for job_id in group} == {"corrupt_image"}


def test_one_that_diverges_keeps_its_picture_and_the_others_go_on(context, group, store) -> None:
    states = run(group, with_painter(context, diverging={3: 3}))
    job = load(context, group[3])
    assert (job.state, job.error_code, job.result["partial"]) == ("failed", "diverged", True)
    assert store.exists(job.result["key"])
    assert others_succeed(states, group, 3)


def test_one_whose_claim_is_lost_is_dropped_alone(context, group, database, monkeypatch) -> None:
    every_chunk_asks(monkeypatch)

    def lose(number: int) -> None:
        if number == 1:
            with database.writing() as session:
                transitions.give_back(session, claims.Claim(group[0], 1, "w1"), reason="test")
                claim_job(session, group[0], worker="w2", weights={}, lease_s=20)

    states = run(group, with_painter(context, lose))
    assert group[0] not in states
    assert others_succeed(states, group, 0)
    job = load(context, group[0])
    assert (job.state, job.worker, job.result) == ("running", "w2", None)


def test_one_that_is_out_of_time_leaves_the_others_alone(context, group, database) -> None:
    with database.writing() as session:
        session.execute(update(Job).where(Job.id == group[1]).values(time_limit_s=1e-6))
    states = run(group, context)
    assert load(context, group[1]).error_code == "timed_out"
    assert others_succeed(states, group, 1)


@pytest.mark.parametrize("error", [StorageFull, ZeroDivisionError])
def test_one_whose_picture_cannot_be_stored_is_retried_alone(context, group, store, monkeypatch, error) -> None:
    put_all = store.put_all

    def refuse(files: dict[str, bytes]) -> None:
        if any(group[1] in key for key in files):
            raise error
        put_all(files)

    monkeypatch.setattr(store, "put_all", refuse)
    states = run(group, context)
    assert states[group[1]] == State.QUEUED
    assert others_succeed(states, group, 1)


def test_one_whose_end_cannot_be_written_is_left_to_its_lease(context, group, monkeypatch) -> None:
    succeed = transitions.succeed

    def stumble(session, held, **values) -> None:
        if held.job_id == group[1]:
            raise ZeroDivisionError
        succeed(session, held, **values)

    def stumble_together(session, finished) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(transitions, "succeed", stumble)
    monkeypatch.setattr(claims, "succeed_all", stumble_together)
    states = run(group, context)
    assert group[1] not in states
    assert load(context, group[1]).state == "running"
    assert others_succeed(states, group, 1)


def test_without_a_database_a_message_of_a_group_ends_and_its_jobs_wait(context, group, monkeypatch) -> None:
    def away(_: object) -> None:
        raise DatabaseUnavailable

    with monkeypatch.context() as outage:
        outage.setattr(Database, "autocommit", away)
        assert run(group, context) == {}
    assert run(group, context) == dict.fromkeys(group, State.SUCCEEDED)


def test_one_that_is_gone_before_its_claim_is_left_out(context, group, database) -> None:
    with database.writing() as session:
        transitions.request_cancel(session, group[0])
    states = run(group, context)
    assert group[0] not in states
    assert others_succeed(states, group, 0)


def test_an_error_of_the_painter_is_that_of_all_still_in_it(context, group) -> None:
    def exhaust(number: int) -> None:
        if number == 1:
            context.progress.signal_cancel(group[0])
        else:
            raise OutOfMemory

    states = run(group, with_painter(context, exhaust))
    assert states == {group[0]: State.CANCELED, **dict.fromkeys(group[1:], State.QUEUED)}
    assert {load(context, job_id).retries for job_id in group[1:]} == {1}


def test_a_drained_worker_hands_all_back_and_each_goes_on_alone(context, group, database, store) -> None:
    drained = replace(context, draining=iter([False, *[True] * 9]).__next__)
    assert run(group, drained) == dict.fromkeys(group, State.QUEUED)
    assert {load(context, job_id).checkpoint["step"] for job_id in group} == {2}
    context.painter.calls.clear()
    assert run(group, context) == dict.fromkeys(group, State.SUCCEEDED)
    assert context.painter.calls == [[0]] * 8
    assert all(subjects[0].resume.done == 2 for subjects in context.painter.subjects[1:])
    assert json.loads(store.get(load(context, group[3]).result["losses_key"]))["step"] == [1, 2, 3, 4, 5, 6]


def test_jobs_of_other_groups_are_painted_one_after_the_other(context, database, store) -> None:
    other = [queue(database, store, group_key=key) for key in (None, "4:a", None, "4:b")]
    assert run([*other, other[0]], context) == dict.fromkeys(other, State.SUCCEEDED)
    assert context.painter.calls == [[0]] * 12


def test_a_worker_that_drains_between_two_groups_takes_no_further(context, database, store) -> None:
    first, second = queue(database, store), queue(database, store)
    draining = replace(context, draining=iter([False, False, False, True]).__next__)
    assert run([first, second], draining) == {first: State.SUCCEEDED}
    assert load(context, second).attempt == 0


def test_one_of_another_shape_goes_back_to_be_painted_alone(context, group, database, store) -> None:
    tall = queue(database, store, codec.encode(picture(16, 24), format="png"), group_key="4:a")
    states = run([*group, tall], context)
    assert states == {**dict.fromkeys(group, State.SUCCEEDED), tall: State.QUEUED}
    make_due(database, tall)
    assert run_one(tall, context) == State.SUCCEEDED
