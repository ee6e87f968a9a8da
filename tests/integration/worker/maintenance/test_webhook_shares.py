"""Webhooks of many owners: whatever receivers one of them has, the others' are called."""

from collections.abc import Iterator

import pytest
from sqlalchemy import select

from shared.db import deliveries
from shared.db.models import Delivery
from shared.states import DeliveryState
from shared.webhooks.signing import TEST_EVENT
from tests.integration.worker.maintenance.webhook_receivers import ALLOWED, answering, hanging, receiving
from tests.support.waiting import wait_until
from worker.maintenance.webhook_slots import AT_ONCE, PER_ADDRESS, ReceiverBusy, WebhookSlots
from worker.maintenance.webhooks import WebhookSender

ALIASES = 24


@pytest.fixture
def sender(database) -> Iterator[WebhookSender]:
    """One that finds every name on this machine."""
    made = WebhookSender(database, ALLOWED, resolve=lambda host, port: ["127.0.0.1"], call_s=20.0)
    yield made
    made._pool.shutdown(wait=False, cancel_futures=True)


def tell(database, owner: str, *urls: str) -> None:
    with database.writing() as session:
        for url in urls:
            deliveries.add(session, owner, url, TEST_EVENT)


def states(database, owner: str) -> set[str]:
    with database.reading() as session:
        return set(session.scalars(select(Delivery.state).where(Delivery.owner == owner)))


def aliases(url: str) -> list[str]:
    """Name a receiver's address in many ways."""
    port = url.rpartition(":")[2]
    return [f"http://alias-{number}.example.org:{port}" for number in range(ALIASES)]


def test_many_names_of_one_slow_host_hold_up_nobody_else(database, sender) -> None:
    with receiving(hanging) as slow, receiving(answering(200)) as quick:
        tell(database, "greedy", *aliases(slow.url) * 3)
        sender.run()
        wait_until(lambda: len(slow.calls) == PER_ADDRESS // 2, "the slow one has all the calls that it gets")
        tell(database, "modest", *[quick.url] * 5)

        def all_told() -> bool:
            sender.run()
            return states(database, "modest") == {DeliveryState.DELIVERED}

        wait_until(all_told, "the modest one's receiver has heard of all")
        assert len(slow.calls) <= PER_ADDRESS // 2, "whatever its name"
        slow.ending.set()


def test_at_one_slow_address_too_each_owner_finds_a_place(database, sender) -> None:
    with receiving(hanging) as slow:
        tell(database, "greedy", *aliases(slow.url))
        sender.run()
        wait_until(lambda: len(slow.calls) == PER_ADDRESS // 2, "the greedy one has its share")
        tell(database, "modest", aliases(slow.url)[0])
        sender.run()
        wait_until(lambda: len(slow.calls) == PER_ADDRESS // 2 + 1, "the modest one is called beside it")
        slow.ending.set()


def test_a_call_that_found_its_address_busy_is_made_later(database, sender) -> None:
    with receiving(hanging) as slow:
        tell(database, "greedy", *aliases(slow.url)[:4])
        sender.run()

        def two_waiting() -> bool:
            with database.reading() as session:
                attempts = session.scalars(select(Delivery.attempts)).all()
            return sorted(attempts) == [0, 0, 1, 1]

        wait_until(two_waiting, "two were called and two put off, which are no attempts")
        slow.ending.set()

        def all_called() -> bool:
            sender.run()
            return len(slow.calls) >= 4

        wait_until(all_called, "they are called once there is room")


def test_a_slot_is_free_again_after_each_call_and_after_a_claim_that_failed(database, sender, monkeypatch) -> None:
    with receiving(answering(200)) as quick:
        for _ in range(3):
            tell(database, "ann", *[quick.url] * AT_ONCE)
            wait_until(lambda: sender.run() == 0 and states(database, "ann") == {DeliveryState.DELIVERED}, "all told")
    tell(database, "ann", "http://a.example.org", "http://b.example.org")

    def fail(*_: object) -> str:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(deliveries, "ClaimedDelivery", fail)
        with pytest.raises(ZeroDivisionError):
            sender.run()
    assert not sender._slots.held_by("ann")


def test_an_ipv6_network_is_one_place_and_each_port_another() -> None:
    slots = WebhookSlots()
    with slots.places("greedy", ["2001:db8::1"], 443), slots.places("greedy", ["2001:db8::2"], 443):
        with pytest.raises(ReceiverBusy), slots.places("greedy", ["2001:db8::3"], 443):
            raise AssertionError("a third call was made")
        with slots.places("greedy", ["2001:db8::3"], 80), slots.places("greedy", ["2001:db8:0:1::1"], 443):
            pass
    with slots.places("greedy", ["2001:db8::1", "192.0.2.1"], 443), slots.places("greedy", ["192.0.2.1"], 443):
        pass
