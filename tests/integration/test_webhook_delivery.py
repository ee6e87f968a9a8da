"""Webhooks told over HTTP, to receivers of every kind."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import select, update

from shared import webhooks
from shared.db import deliveries, jobs, moments
from shared.db.models import Delivery
from shared.states import DeliveryState
from tests.factories import add_job
from tests.integration.receivers import ALLOWED, answering, closing, dripping, hanging, receiving
from tests.waiting import wait_until
from worker.deliverer import Deliverer


@pytest.fixture
def deliver(database):
    """Run the due deliveries and wait until each has been tried; return all deliveries."""
    deliverer = Deliverer(database, ALLOWED, call_s=1.0)

    def kept() -> list[Delivery]:
        with database.reading() as session:
            return list(session.scalars(select(Delivery).order_by(Delivery.id)))

    def run() -> list[Delivery]:
        deliverer.run()
        wait_until(lambda: all(len(each.log) == each.attempts for each in kept()), "each call has ended")
        return kept()

    yield run
    deliverer.close()


def due(database, url: str, **values) -> str:
    """Have a canceled job to tell of; return its id."""
    job_id = add_job(database, webhook=url, **values)
    with database.writing() as session:
        jobs.request_cancel(session, job_id)
    return job_id


def make_due_again(database) -> None:
    with database.writing() as session:
        session.execute(
            update(Delivery).where(Delivery.state == DeliveryState.PENDING).values(next_at=moments.after(-1))
        )


def test_the_end_of_a_job_is_told_and_signed(database, deliver) -> None:
    with receiving(answering(204)) as receiver:
        job_id = due(database, receiver.url, label="sea", annotations={"a": 1})
        [delivery] = deliver()
    [call] = receiver.calls
    said = json.loads(call.body)
    assert (said["type"], said["data"]["id"], said["data"]["label"]) == ("job.canceled", job_id, "sea")
    with database.writing() as session:
        secret = deliveries.secrets_of(session, "local").secret
    timestamp = int(call.headers["webhook-timestamp"])
    assert call.headers["webhook-signature"] == webhooks.signature(secret, delivery.id, timestamp, call.body)
    assert call.headers["webhook-id"] == delivery.id
    assert (delivery.state, delivery.log[0]["status"]) == (DeliveryState.DELIVERED, 204)


def test_both_secrets_sign_while_one_is_replaced(database, deliver) -> None:
    with database.writing() as session:
        before = deliveries.secrets_of(session, "local").secret
        after = deliveries.rotate(session, "local").secret
    with receiving(answering(200)) as receiver:
        due(database, receiver.url)
        deliver()
    [call] = receiver.calls
    stamp = int(call.headers["webhook-timestamp"])
    expected = {webhooks.signature(each, call.headers["webhook-id"], stamp, call.body) for each in (before, after)}
    assert set(call.headers["webhook-signature"].split()) == expected


@pytest.mark.parametrize(("behave", "noted"), [
    (answering(500), 500), (answering(404), 404), (answering(429), 429), (hanging, "Timeout"), (dripping, "Timeout"),
    (closing, "Error"),
])  # fmt: skip
def test_a_receiver_that_fails_is_called_again(database, deliver, behave, noted) -> None:
    with receiving(behave) as receiver:
        due(database, receiver.url)
        [delivery] = deliver()
        assert (delivery.state, delivery.attempts) == (DeliveryState.PENDING, 1)
        entry = delivery.log[0]
        assert entry["status"] == noted if isinstance(noted, int) else noted in entry["error"]
        make_due_again(database)
        [delivery] = deliver()
    assert (delivery.attempts, len(receiver.calls)) == (2, 2)


def test_a_receiver_that_is_gone_for_good_is_called_no_more(database, deliver) -> None:
    with receiving(answering(410)) as receiver:
        due(database, receiver.url)
        assert deliver()[0].state == DeliveryState.FAILED
        deliver()
    assert len(receiver.calls) == 1


def test_nobody_follows_where_a_receiver_points(database, deliver) -> None:
    with receiving(answering(200)) as target, receiving(answering(307, Location=target.url)) as receiver:
        due(database, receiver.url)
        [delivery] = deliver()
    assert target.calls == []
    assert (delivery.state, delivery.log[0]["status"]) == (DeliveryState.PENDING, 307)
    assert "redirect" in delivery.log[0]["error"]


def test_an_address_that_is_not_public_is_never_called(database) -> None:
    deliverer = Deliverer(database, "", resolve=lambda host, port: ["127.0.0.1"])
    with receiving(answering(200)) as receiver:
        port = receiver.url.rpartition(":")[2]
        due(database, f"http://example.org:{port}")
        due(database, receiver.url)
        deliverer.run()

        def kept() -> list[Delivery]:
            with database.reading() as session:
                return list(session.scalars(select(Delivery)))

        wait_until(lambda: all(each.log for each in kept()), "each was tried")
        assert all("forbidden_url" in each.log[0]["error"] for each in kept())
    assert receiver.calls == []
    deliverer.close()


def test_a_receiver_that_hangs_holds_up_nobody_else(database) -> None:
    deliverer = Deliverer(database, ALLOWED, call_s=20.0)
    with receiving(hanging) as slow, receiving(answering(200)) as quick:
        for _ in range(12):
            due(database, slow.url)
        for _ in range(5):
            due(database, quick.url)

        def all_told() -> bool:
            deliverer.run()
            return len(quick.calls) == 5

        wait_until(all_told, "the quick one has heard of all")
        assert len(slow.calls) <= 2
    deliverer.close()


def test_after_three_days_a_delivery_is_given_up(database, deliver) -> None:
    with receiving(answering(500)) as receiver:
        due(database, receiver.url)
        with database.writing() as session:
            session.execute(
                update(Delivery).values(attempts=len(deliveries.SCHEDULE_S), log=[{}] * len(deliveries.SCHEDULE_S))
            )
        assert deliver()[0].state == DeliveryState.FAILED
