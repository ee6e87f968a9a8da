"""Jobs that can be painted together go in one message."""

import pytest
from sqlalchemy import update

from shared.db import sql_clock, workers
from shared.db.base import Database
from shared.db.jobs import transitions
from shared.db.models import Job
from tests.support.concurrency import race
from tests.support.factories import add_job


def add_group(database: Database, count: int, key: str = "3:a", **values) -> list[str]:
    return [add_job(database, group_key=key, **values) for _ in range(count)]


def test_jobs_of_one_group_go_together_oldest_first(database, dispatch, outbox) -> None:
    made = add_group(database, 3)
    assert dispatch() == 3
    assert outbox.messages == [made]


def test_a_message_holds_no_more_than_the_key_allows(database, dispatch, outbox) -> None:
    made = add_group(database, 5)
    assert dispatch() == 5
    assert outbox.messages == [made[:3], made[3:]]


def test_the_window_counts_messages_and_not_jobs(database, dispatch, outbox) -> None:
    made = add_group(database, 8)
    assert dispatch() == 6
    assert outbox.messages == [made[:3], made[3:6]]
    outbox.take()
    assert dispatch() == 2
    assert outbox.messages[2:] == [made[6:]]


def test_jobs_between_those_of_a_group_wait_for_their_own_turn(database, dispatch, outbox) -> None:
    first, alone, second, other = (add_job(database, group_key=key) for key in ("3:a", None, "3:a", "3:b"))
    dispatch()
    assert outbox.messages == [[first, second], [alone]]
    outbox.take()
    dispatch()
    assert outbox.messages[2:] == [[other]]


def test_jobs_without_a_key_never_go_together(database, dispatch, outbox) -> None:
    made = [add_job(database) for _ in range(2)]
    dispatch()
    assert outbox.messages == [[job_id] for job_id in made]


@pytest.mark.parametrize("other", [{"owner": "else"}, {"priority": 1}])
def test_owners_and_priorities_are_not_mixed(database, dispatch, outbox, other) -> None:
    usual, [differs] = add_group(database, 2), add_group(database, 1, **other)
    dispatch()
    assert sorted(outbox.messages) == sorted([usual, [differs]])


@pytest.mark.parametrize("place", [0, 1])
def test_a_job_that_was_begun_before_goes_alone(database, dispatch, outbox, place) -> None:
    made = add_group(database, 3)
    with database.writing() as session:
        session.execute(update(Job).where(Job.id == made[place]).values(attempt=1))
    dispatch()
    fresh = [job_id for job_id in made if job_id != made[place]]
    assert sorted(outbox.messages) == sorted([[made[place]], fresh])


def test_a_companion_that_is_canceled_or_sent_already_stays_out(database, dispatch, outbox) -> None:
    canceled, sent, *rest = add_group(database, 4, key="4:a")
    with database.writing() as session:
        transitions.request_cancel(session, canceled)
        session.execute(update(Job).where(Job.id == sent).values(dispatched_at=sql_clock.now()))
    dispatch()
    assert outbox.messages == [rest]


def test_a_group_counts_in_full_towards_its_owners_turn(database, dispatch, outbox) -> None:
    first, rest = add_group(database, 3, owner="many"), add_group(database, 3, owner="many")
    few = [add_job(database, owner="few") for _ in range(3)]
    with database.writing() as session:
        for name in ("w1", "w2"):
            workers.record_heartbeat(session, name)
    dispatch()
    by_many = [message for message in outbox.messages if message[0] not in few]
    assert by_many == [first]
    assert sorted(message for message in outbox.messages if message not in by_many) == [[job_id] for job_id in few]
    outbox.take()
    dispatch()
    assert outbox.messages[-1] == rest


def test_a_message_that_was_lost_is_sent_again_whole(database, settings, dispatch, outbox) -> None:
    made = add_group(database, 3)
    dispatch()
    outbox.unread.clear()
    with database.writing() as session:
        session.execute(update(Job).values(dispatched_at=sql_clock.now_plus(-settings.redispatch_after_s - 1)))
    assert dispatch() == 3
    assert outbox.messages == [made, made]


def test_a_group_that_the_broker_refuses_is_due_at_once(database, dispatch, outbox) -> None:
    made = add_group(database, 3)
    outbox.away = True
    assert dispatch() == 0
    outbox.away = False
    assert dispatch() == 3
    assert outbox.messages == [made]


def test_dispatchers_at_work_together_send_no_job_of_a_group_twice(database, dispatch, outbox) -> None:
    made = add_group(database, 40)
    with database.writing() as session:
        for number in range(20):
            workers.record_heartbeat(session, f"w{number}")
    race(dispatch, threads=8)
    assert sorted(outbox.sent) == made
    assert max(len(message) for message in outbox.messages) == 3
