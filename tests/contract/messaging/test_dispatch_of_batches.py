"""Items of batches in the line: who goes before whom, and how many at once."""

from collections import Counter

import pytest

from shared.db.base import Database
from shared.db.batches import lifecycle
from shared.db.jobs import claims, transitions
from shared.db.models import Job
from shared.states import BatchState
from tests.support.claims import take_claimed
from tests.support.factories import add_batch, add_image, add_items, add_job


def steer(database: Database, batch_id: str, to: BatchState) -> None:
    with database.writing() as session:
        lifecycle.transition(session, lifecycle.lock_batch(session, batch_id), to)


def claim(database: Database, job_ids: list[str]) -> None:
    with database.writing() as session:
        assert len(claims.claim_jobs(session, job_ids, worker="w", weights={}, lease_s=20)) == len(job_ids)


def running(database: Database, **values) -> str:
    return add_batch(database, state=BatchState.RUNNING, **values)


def owner_of(database: Database, job_id: str) -> str:
    with database.reading() as session:
        return session.get(Job, job_id).owner


def test_a_job_in_no_batch_goes_before_items_of_the_same_priority(database, dispatch, outbox) -> None:
    items = add_items(database, running(database), 3)
    single = add_job(database)
    dispatch()
    assert outbox.sent == [single, items[0]]


def test_a_window_full_of_items_has_room_for_a_job_and_it_is_read_first(database, dispatch, outbox) -> None:
    items = add_items(database, running(database), 5)
    dispatch()
    assert outbox.sent == items[:2]
    single = add_job(database)
    dispatch()
    assert outbox.sent == [*items[:2], single]
    assert outbox.take() == [single]


def test_a_more_urgent_batch_goes_first_even_before_other_jobs(database, dispatch, outbox) -> None:
    plain = add_items(database, running(database), 1)
    urgent = add_items(database, running(database, priority=5), 1)
    add_job(database)
    dispatch()
    assert outbox.sent[0] == urgent[0]
    assert plain[0] not in outbox.sent


@pytest.mark.parametrize("state", [BatchState.OPEN, BatchState.PAUSED, BatchState.CANCELED])
def test_a_batch_that_does_not_run_sends_nothing(database, dispatch, outbox, state) -> None:
    batch_id = add_batch(database)
    add_items(database, batch_id, 2)
    if state != BatchState.OPEN:
        steer(database, batch_id, BatchState.RUNNING)
        steer(database, batch_id, state)
    assert dispatch() == 0
    assert outbox.sent == []


def test_a_resumed_batch_sends_again_what_workers_refused_meanwhile(database, dispatch, outbox) -> None:
    batch_id = running(database)
    items = add_items(database, batch_id, 2)
    dispatch()
    steer(database, batch_id, BatchState.PAUSED)
    outbox.batched.clear()  # read, and not taken
    steer(database, batch_id, BatchState.RUNNING)
    assert dispatch() == 2
    assert outbox.sent == items * 2


def test_no_more_items_fly_than_the_batch_allows(database, dispatch, outbox) -> None:
    batch_id = running(database, max_parallel=3)
    items = add_items(database, batch_id, 8, group_key="2:a")
    dispatch()
    assert [len(message) for message in outbox.messages] == [2, 1]
    claim(database, outbox.take())
    dispatch()
    assert len(outbox.sent) == 3, "two run and one waits in the broker"
    with database.writing() as session:
        transitions.succeed(session, claims.Claim(items[0], 1, "w"), result={})
    dispatch()
    assert outbox.sent == items[:4]


def test_items_of_one_shape_travel_together(database, dispatch, outbox) -> None:
    items = add_items(database, running(database), 5, group_key="4:a")
    dispatch()
    assert outbox.messages == [items[:4], items[4:]]


def test_two_owners_batches_share_the_workers_evenly(database, dispatch, outbox) -> None:
    image = add_image(database)
    assert image
    for owner, count in (("many", 40), ("few", 12)):
        add_items(database, running(database, owner=owner), count)
    taken = Counter[str]()
    for _ in range(20):
        dispatch()
        message = take_claimed(database, outbox)
        taken.update(owner_of(database, job_id) for job_id in message)
    assert taken == {"many": 10, "few": 10}


def test_items_do_not_wait_for_all_single_jobs_of_others(database, dispatch, outbox) -> None:
    owner_by_id = dict.fromkeys(add_items(database, running(database, owner="items"), 10), "items")
    owner_by_id |= {add_job(database, owner="singles", priority=100): "singles" for _ in range(20)}
    order: list[str] = []
    former: list[str] = []
    for _ in range(12):
        dispatch()
        message = take_claimed(database, outbox)
        order.append(owner_by_id[message[0]])
        for job_id in former:
            with database.writing() as session:
                transitions.succeed(session, claims.Claim(job_id, 1, "w"), result={})
        former = message
    assert order.count("items") >= 5, order
