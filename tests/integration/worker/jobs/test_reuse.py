"""A picture that was painted before is taken over; one that was painted otherwise, or by another, is not."""

import json

import pytest

from shared.states import State
from tests.support.job_runs import load, queue, run_one


@pytest.fixture
def painted(context, database, store, png) -> str:
    job_id = queue(database, store, png, work_key="same")
    assert run_one(job_id, context) == State.SUCCEEDED
    context.painter.calls.clear()
    return job_id


def test_an_equal_picture_is_copied_and_nothing_is_painted(context, database, store, png, painted) -> None:
    job_id = queue(database, store, png, work_key="same", reuse=True)
    assert run_one(job_id, context) == State.SUCCEEDED
    assert context.painter.calls == []
    job, before = load(context, job_id), load(context, painted)
    assert job.reused_from == painted
    assert job.result["key"] != before.result["key"]
    assert store.get(job.result["key"]) == store.get(before.result["key"])
    assert store.get(job.result["losses_key"]) == store.get(before.result["losses_key"])
    manifest = json.loads(store.get(job.result["manifest_key"]))
    assert (manifest["job"], manifest["reused_from"]) == (job_id, painted)


@pytest.mark.parametrize(
    "values",
    [
        {"work_key": "same"},
        {"work_key": "other", "reuse": True},
        {"work_key": "same", "reuse": True, "owner": "eve"},
        {"reuse": True},
    ],
)
def test_what_is_not_equal_or_not_wished_is_painted(context, database, store, png, painted, values) -> None:
    job_id = queue(database, store, png, **values)
    assert run_one(job_id, context) == State.SUCCEEDED
    assert load(context, job_id).reused_from is None
    assert context.painter.calls


def test_other_weights_make_another_picture(context, database, store, png, painted) -> None:
    context.painter.weights = {**context.painter.weights, "sha256": "other"}
    job_id = queue(database, store, png, work_key="same", reuse=True)
    assert run_one(job_id, context) == State.SUCCEEDED
    assert load(context, job_id).reused_from is None


def test_a_picture_whose_files_are_gone_is_painted_anew(context, database, store, png, painted) -> None:
    store.delete(load(context, painted).result["key"])
    job_id = queue(database, store, png, work_key="same", reuse=True)
    assert run_one(job_id, context) == State.SUCCEEDED
    assert load(context, job_id).reused_from is None
    assert context.painter.calls
