"""The backlog is in the database; a window of it is in the broker."""

from itertools import pairwise

import pytest
from sqlalchemy import func, select, update

from shared.db import sql_clock, workers
from shared.db.base import Database
from shared.db.jobs import claims, transitions
from shared.db.models import Job
from shared.errors import BrokerUnavailable
from shared.messaging.dispatch import Dispatcher
from shared.settings import Settings
from tests.support.claims import claim, take_claimed
from tests.support.concurrency import race
from tests.support.factories import add_image, add_job
from tests.support.waiting import wait_until


def age_messages(database: Database, settings: Settings) -> None:
    with database.writing() as session:
        session.execute(update(Job).values(dispatched_at=sql_clock.now_plus(-settings.redispatch_after_s - 1)))


def test_the_window_bounds_what_waits_in_the_broker(database, dispatch, outbox) -> None:
    made = [add_job(database) for _ in range(5)]
    assert dispatch() == 2
    assert dispatch() == 0
    assert outbox.sent == made[:2]


def test_the_window_grows_with_the_workers_that_take_jobs(database, dispatch, outbox) -> None:
    for _ in range(9):
        add_job(database)
    with database.writing() as session:
        for name in ("w1", "w2", "paused"):
            workers.record_heartbeat(session, name)
        workers.set_desired_state(session, "paused", workers.DesiredState.PAUSE)
    assert dispatch() == 4


def test_a_message_taken_makes_room_for_the_next(database, dispatch, outbox) -> None:
    made = [add_job(database) for _ in range(3)]
    dispatch()
    claim(database, *outbox.take())
    dispatch()
    assert outbox.sent == made


def test_higher_priority_goes_first(database, dispatch, outbox) -> None:
    late, urgent = add_job(database), add_job(database, priority=1)
    dispatch()
    assert outbox.sent == [urgent, late]


def test_owners_take_turns_whatever_the_length_of_their_queues(database, dispatch, outbox) -> None:
    image = add_image(database)
    owners = ["many"] * 30 + ["few"] * 5 + ["other"] * 5
    owner_of = {add_job(database, image_id=image, owner=owner): owner for owner in owners}
    running: list[str] = []
    for _ in owners:
        dispatch()
        running += take_claimed(database, outbox)
        if len(running) > 1:
            finish(database, running[-2])
    order = [owner_of[job_id] for job_id in running]
    assert sorted(running) == sorted(owner_of)
    assert all({"few", "other", "many"} == set(order[i : i + 3]) for i in range(1, 12, 3)), order
    mine = [job_id for job_id in running if owner_of[job_id] == "many"]
    assert all(earlier < later for earlier, later in pairwise(mine))


def test_who_has_nothing_running_passes_all_that_others_have_waiting(database, dispatch, outbox) -> None:
    greedy = [add_job(database, owner="greedy", priority=100) for _ in range(6)]
    dispatch()
    claim(database, outbox.take()[0])
    dispatch()
    modest = [add_job(database, owner="modest") for _ in range(2)]
    dispatch()
    assert take_claimed(database, outbox) == modest[:1], "before the messages of the greedy one"
    dispatch()
    assert outbox.take() == greedy[1:2], "one job is first in line, not all of an owner's"


def test_its_own_next_job_goes_first_even_if_it_waits_already(database, dispatch, outbox) -> None:
    greedy = [add_job(database, owner="greedy") for _ in range(3)]
    dispatch()
    modest = add_job(database, owner="modest")
    claim(database, modest)
    dispatch()
    dispatch()
    assert outbox.first == [greedy[:1]], "once"
    assert outbox.take() == greedy[:1]
    claim(database, greedy[0])
    assert outbox.take() == greedy[:1], "whose other message does nothing any more"


def test_of_those_who_wait_the_next_is_who_has_waited_longest_since_its_turn(database, dispatch, outbox) -> None:
    image = add_image(database)
    owners = ["a", "b", "c", "d", "late"]
    owner_of = {add_job(database, image_id=image, owner=owner): owner for owner in owners for _ in range(4)}
    order: list[str] = []
    running: list[str] = []
    for _ in range(10):
        dispatch()
        running += take_claimed(database, outbox)
        order.append(owner_of[running[-1]])
        if len(running) > 1:
            finish(database, running[-2])
    assert {*order[:7]} == {*owners}, order


def test_a_priority_above_all_owners_goes_before_everybody(database, dispatch, outbox) -> None:
    claim(database, add_job(database, owner="modest"))
    for _ in range(3):
        add_job(database, owner="greedy", priority=100)
    urgent = add_job(database, owner="modest", priority=101)
    dispatch()
    assert outbox.take() == [urgent]


def finish(database: Database, job_id: str) -> None:
    with database.writing() as session:
        transitions.succeed(session, claims.Claim(job_id, 1, "w"), result={})


def test_a_lost_message_is_sent_again_after_a_while(database, settings, dispatch, outbox) -> None:
    job_id = add_job(database)
    dispatch()
    outbox.unread.clear()  # Redis was wiped
    assert dispatch() == 0
    age_messages(database, settings)
    assert dispatch() == 1
    assert outbox.sent == [job_id, job_id]


def test_messages_behind_busy_workers_are_never_repeated(database, settings, dispatch, outbox) -> None:
    for _ in range(5):
        add_job(database)
    for _ in range(10):
        dispatch()
        age_messages(database, settings)
    assert len(outbox.messages) == 2


def test_what_the_broker_refuses_is_due_at_once(database, dispatch, outbox) -> None:
    job_id = add_job(database)
    outbox.away = True
    assert dispatch() == 0
    outbox.away = False
    assert dispatch() == 1
    assert outbox.sent == [job_id]


def test_a_canceled_job_is_not_sent(database, dispatch) -> None:
    job_id = add_job(database)
    with database.writing() as session:
        transitions.request_cancel(session, job_id)
    assert dispatch() == 0


def test_a_retried_job_is_not_sent_before_its_time(database, dispatch) -> None:
    add_job(database)
    with database.writing() as session:
        session.execute(update(Job).values(retry_at=sql_clock.now_plus(60)))
    assert dispatch() == 0


@pytest.mark.parametrize("how", ["paused", "held"])
def test_a_paused_or_held_queue_sends_nothing(database, dispatch, how) -> None:
    add_job(database)
    with database.writing() as session:
        if how == "paused":
            workers.pause_queue(session)
        else:
            workers.hold_queue(session, "storage_full")
    assert dispatch() == 0
    with database.writing() as session:
        workers.resume_queue(session)
        workers.hold_queue(session, None)
    assert dispatch() == 1


def test_resuming_sends_what_workers_refused_meanwhile(database, dispatch, outbox) -> None:
    add_job(database)
    dispatch()
    outbox.take()
    with database.writing() as session:
        workers.pause_queue(session)
        workers.resume_queue(session)
    assert dispatch() == 1


def test_dispatchers_at_work_together_send_no_job_twice(database, dispatch, outbox) -> None:
    made = [add_job(database) for _ in range(40)]
    with database.writing() as session:
        for number in range(20):
            workers.record_heartbeat(session, f"w{number}")
    race(dispatch, threads=8)
    assert sorted(outbox.sent) == made


def test_a_nudge_dispatches_and_returns_at_once(database, settings, outbox) -> None:
    job_id = add_job(database)
    Dispatcher(database, outbox, settings).nudge()
    wait_until(lambda: outbox.sent == [job_id], "the job is sent")


def test_a_nudge_in_vain_does_no_harm(database, settings, outbox, monkeypatch) -> None:
    refused: list[int] = []

    def refuse() -> int:
        refused.append(1)
        raise BrokerUnavailable

    add_job(database)
    dispatcher = Dispatcher(database, outbox, settings)
    with monkeypatch.context() as away:
        away.setattr(outbox, "get_depth", refuse)
        dispatcher.nudge()
        wait_until(lambda: refused, "the nudge was in vain")
    dispatcher.nudge()
    wait_until(lambda: outbox.sent, "the next one works")
    with database.reading() as session:
        assert session.scalar(select(func.count()).where(Job.dispatched_at.is_not(None))) == 1
