"""Batches on both databases: their life, their items in bulk, and counts that add up."""

import pytest

from shared.db import deliveries, webhook_payloads
from shared.db.base import Database
from shared.db.batches import counts as batch_counts
from shared.db.batches import items, lifecycle
from shared.db.batches.items import NewItem
from shared.db.jobs import transitions
from shared.db.models import Batch
from shared.errors import IllegalTransition
from shared.states import BatchState, State
from tests.support.claims import claim_job
from tests.support.factories import add_batch, add_image, add_items
from tests.support.fakes import FakeSlots


def counts(database: Database, batch_id: str) -> dict[str, int]:
    with database.reading() as session:
        found = batch_counts.count_items(session, [lifecycle.get_batch(session, batch_id)])[batch_id]
    return {str(state): count for state, count in found.items() if count}


def fold(database: Database) -> None:
    with database.writing() as session:
        batch_counts.fold(session)


def settle(database: Database) -> list[tuple[str, BatchState]]:
    fold(database)
    with database.writing() as session:
        return lifecycle.end_completed(session)


def test_items_are_counted_before_and_after_they_are_folded(database) -> None:
    batch_id = add_batch(database)
    made = add_items(database, batch_id, 5)
    assert counts(database, batch_id) == {"queued": 5}
    fold(database)
    with database.writing() as session:
        lifecycle.transition(session, lifecycle.lock_batch(session, batch_id), BatchState.RUNNING)
        claim = claim_job(session, made[0], worker="w", weights={}, lease_s=20)
    assert counts(database, batch_id) == {"queued": 4, "running": 1}
    with database.writing() as session:
        transitions.succeed(session, claim, result={})
    assert counts(database, batch_id) == {"queued": 4, "succeeded": 1}
    fold(database)
    assert counts(database, batch_id) == {"queued": 4, "succeeded": 1}


def test_no_item_of_a_batch_that_does_not_run_is_claimed(database) -> None:
    batch_id = add_batch(database)
    [job_id] = add_items(database, batch_id, 1)
    with database.writing() as session:
        assert claim_job(session, job_id, worker="w", weights={}, lease_s=20) is None
        lifecycle.transition(session, lifecycle.lock_batch(session, batch_id), BatchState.RUNNING)
        lifecycle.transition(session, lifecycle.lock_batch(session, batch_id), BatchState.PAUSED)
        assert claim_job(session, job_id, worker="w", weights={}, lease_s=20) is None
        lifecycle.transition(session, lifecycle.lock_batch(session, batch_id), BatchState.RUNNING)
        assert claim_job(session, job_id, worker="w", weights={}, lease_s=20) is not None


def test_a_batch_ends_when_its_last_item_has_and_runs_again_for_a_new_one(database) -> None:
    batch_id = add_batch(database, state=BatchState.RUNNING, webhook="https://example.org/")
    [job_id] = add_items(database, batch_id, 1)
    assert settle(database) == []
    with database.writing() as session:
        claim = claim_job(session, job_id, worker="w", weights={}, lease_s=20)
        transitions.succeed(session, claim, result={})
    assert settle(database) == [(batch_id, BatchState.FINISHED)]
    assert settle(database) == []
    with database.writing() as session:
        [told] = deliveries.claim_due(session, FakeSlots())
        payload = webhook_payloads.payload_of(session, told)
    assert (told.event, payload["id"], payload["counts"]["succeeded"]) == ("batch.finished", batch_id, 1)
    add_items(database, batch_id, 1, first=1)
    with database.reading() as session:
        assert lifecycle.get_batch(session, batch_id).state == BatchState.RUNNING


def test_a_batch_that_was_started_without_items_ends_and_runs_as_soon_as_it_has_some(database) -> None:
    batch_id, unstarted = add_batch(database, state=BatchState.RUNNING), add_batch(database, state=BatchState.OPEN)
    assert settle(database) == [(batch_id, BatchState.FINISHED)]
    add_items(database, batch_id, 1)
    assert settle(database) == []
    with database.reading() as session:
        assert lifecycle.get_batch(session, batch_id).state == BatchState.RUNNING
        assert lifecycle.get_batch(session, unstarted).state == BatchState.OPEN


def test_a_canceled_batch_cancels_what_waits_and_takes_nothing_more(database) -> None:
    batch_id = add_batch(database, state=BatchState.RUNNING)
    made = add_items(database, batch_id, 3)
    with database.writing() as session:
        claim_job(session, made[0], worker="w", weights={}, lease_s=20)
        lifecycle.transition(session, lifecycle.lock_batch(session, batch_id), BatchState.CANCELED)
    with database.writing() as session:
        assert items.cancel_chunk(session) == (2, [made[0]])
    assert counts(database, batch_id) == {"running": 1, "canceled": 2}
    assert settle(database) == []
    with pytest.raises(IllegalTransition):
        add_items(database, batch_id, 1, first=7)


def test_the_same_item_again_is_there_already_and_another_of_its_key_is_refused(database) -> None:
    batch_id = add_batch(database)
    add_items(database, batch_id, 2)
    image_id = add_image(database)
    same = NewItem("item-0", image_id, {"size": 64}, [], None, "w", None, 1.0)
    other = same._replace(params={"size": 65})
    new = same._replace(key="new")
    with database.writing() as session:
        found = items.classify(session, lifecycle.lock_batch(session, batch_id), [same, other, new, new])
    assert (found.new, found.existing, found.conflicting) == ([new], [same, new], [other])


def test_what_failed_is_tried_again_in_its_place_and_nothing_else(database) -> None:
    batch_id = add_batch(database, state=BatchState.RUNNING)
    made = add_items(database, batch_id, 3)
    with database.writing() as session:
        for job_id in made[:2]:
            claim = claim_job(session, job_id, worker="w", weights={}, lease_s=20)
            if job_id == made[0]:
                transitions.fail(session, claim, IllegalTransition("broken"))
            else:
                transitions.succeed(session, claim, result={})
    with database.writing() as session:
        assert items.retry_failed(session, lifecycle.lock_batch(session, batch_id)) == 1
        assert items.retry_failed(session, lifecycle.lock_batch(session, batch_id)) == 0
    assert counts(database, batch_id) == {"queued": 2, "succeeded": 1}
    with database.reading() as session:
        assert session.get(Batch, batch_id) is not None


def test_results_come_in_the_order_they_ended_and_go_on_where_a_reader_stopped(database) -> None:
    batch_id = add_batch(database, state=BatchState.RUNNING)
    made = add_items(database, batch_id, 3)
    for job_id in reversed(made):
        with database.writing() as session:
            transitions.succeed(session, claim_job(session, job_id, worker="w", weights={}, lease_s=20), result={})
        fold(database)
    with database.reading() as session:
        first = batch_counts.list_results(session, batch_id, after=0, limit=2)
        rest = batch_counts.list_results(session, batch_id, after=first[-1][0], limit=2)
    assert [job.id for _, job in first + rest] == made[::-1]
    assert all(job.state == State.SUCCEEDED for _, job in first + rest)
