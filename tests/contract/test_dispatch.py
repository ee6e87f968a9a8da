"""The backlog is in the database; a window of it is in the broker."""

from __future__ import annotations

import threading
from datetime import timedelta

from sqlalchemy import update

from shared import clock
from shared.db import jobs
from shared.db.models import Job
from shared.dispatch import dispatch
from tests.factories import add_job


class Outbox(list):
    """Takes messages as the broker does; `away` refuses them."""

    away = False

    def __call__(self, job_ids) -> bool:
        if not self.away:
            self.extend(job_ids)
        return not self.away


def test_the_window_bounds_what_waits_in_the_broker(database) -> None:
    made = [add_job(database) for _ in range(5)]
    outbox = Outbox()
    assert dispatch(database, outbox, window=2, redispatch_after_s=30) == 2
    assert dispatch(database, outbox, window=2, redispatch_after_s=30) == 0
    assert outbox == made[:2]


def test_a_claimed_job_makes_room_for_the_next(database) -> None:
    made = [add_job(database) for _ in range(2)]
    outbox = Outbox()
    dispatch(database, outbox, window=1, redispatch_after_s=30)
    with database.writing() as session:
        jobs.claim(session, made[0], worker="w", weights={})
    dispatch(database, outbox, window=1, redispatch_after_s=30)
    assert outbox == made


def test_higher_priority_goes_first(database) -> None:
    late, urgent = add_job(database), add_job(database, priority=1)
    outbox = Outbox()
    dispatch(database, outbox, window=2, redispatch_after_s=30)
    assert outbox == [urgent, late]


def test_a_lost_message_is_sent_again_after_a_while(database) -> None:
    job_id = add_job(database)
    outbox = Outbox()
    dispatch(database, outbox, window=1, redispatch_after_s=30)
    with database.writing() as session:
        session.execute(update(Job).values(dispatched_at=clock.now() - timedelta(seconds=31)))
    dispatch(database, outbox, window=1, redispatch_after_s=30)
    assert outbox == [job_id, job_id]


def test_what_the_broker_refuses_is_due_at_once(database) -> None:
    job_id = add_job(database)
    outbox = Outbox()
    outbox.away = True
    assert dispatch(database, outbox, window=1, redispatch_after_s=30) == 0
    outbox.away = False
    assert dispatch(database, outbox, window=1, redispatch_after_s=30) == 1
    assert outbox == [job_id]


def test_a_canceled_job_is_not_sent(database) -> None:
    job_id = add_job(database)
    with database.writing() as session:
        jobs.request_cancel(session, job_id)
    assert dispatch(database, Outbox(), window=1, redispatch_after_s=30) == 0


def test_dispatchers_at_work_together_send_no_job_twice(database) -> None:
    made = [add_job(database) for _ in range(40)]
    outbox = Outbox()
    threads = [
        threading.Thread(target=dispatch, args=(database, outbox), kwargs={"window": 40, "redispatch_after_s": 30})
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(outbox) == made
