"""Webhooks told over HTTP, to receivers of every kind."""

import json
import shutil
import subprocess
import threading

import pytest
from sqlalchemy import select, update

from shared.db import deliveries, sql_clock, webhook_payloads
from shared.db.jobs import transitions
from shared.db.models import Delivery
from shared.errors import DatabaseUnavailable
from shared.states import DeliveryState
from shared.webhooks import signing
from tests.integration.worker.maintenance.webhook_receivers import (
    ALLOWED,
    answering,
    closing,
    dripping,
    hanging,
    receiving,
)
from tests.support.concurrency import meet
from tests.support.factories import add_job
from tests.support.fakes import FakeSlots
from tests.support.waiting import wait_until
from worker.maintenance.webhooks import WebhookSender

#: Where users reach the API.
PUBLIC = "https://example.org/atelier"


@pytest.fixture
def deliver(database):
    """Run the due deliveries and wait until each has been tried; return all deliveries."""
    sender = WebhookSender(database, ALLOWED, public_url=PUBLIC, call_s=1.0)

    def kept() -> list[Delivery]:
        with database.reading() as session:
            return list(session.scalars(select(Delivery).order_by(Delivery.id)))

    def run() -> list[Delivery]:
        sender.run()
        wait_until(lambda: all(len(each.log) == each.attempts for each in kept()), "each call has ended")
        return kept()

    yield run
    sender._pool.shutdown(wait=False, cancel_futures=True)


def due(database, url: str, **values) -> str:
    """Have a canceled job to tell of; return its id."""
    job_id = add_job(database, webhook=url, **values)
    with database.writing() as session:
        transitions.request_cancel(session, job_id)
    return job_id


def make_due_again(database) -> None:
    with database.writing() as session:
        session.execute(
            update(Delivery).where(Delivery.state == DeliveryState.PENDING).values(next_at=sql_clock.now_plus(-1))
        )


def test_the_end_of_a_job_is_told_and_signed(database, deliver) -> None:
    with receiving(answering(204)) as receiver:
        job_id = due(database, receiver.url, label="sea", annotations={"a": 1})
        [delivery] = deliver()
    [call] = receiver.calls
    said = json.loads(call.body)
    assert (said["type"], said["data"]["id"], said["data"]["label"]) == ("job.canceled", job_id, "sea")
    assert said["data"]["links"] == {"self": f"{PUBLIC}/v1/jobs/{job_id}"}
    with database.writing() as session:
        secret = deliveries.get_secrets(session, "local").secret
    timestamp = int(call.headers["webhook-timestamp"])
    assert call.headers["webhook-signature"] == signing.signature(secret, delivery.id, timestamp, call.body)
    assert call.headers["webhook-id"] == delivery.id
    assert (delivery.state, delivery.log[0]["status"]) == (DeliveryState.DELIVERED, 204)


def test_both_secrets_sign_while_one_is_replaced(database, deliver) -> None:
    with database.writing() as session:
        before = deliveries.get_secrets(session, "local").secret
        after = deliveries.rotate_secret(session, "local").secret
    with receiving(answering(200)) as receiver:
        due(database, receiver.url)
        deliver()
    [call] = receiver.calls
    stamp = int(call.headers["webhook-timestamp"])
    expected = {signing.signature(each, call.headers["webhook-id"], stamp, call.body) for each in (before, after)}
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
    sender = WebhookSender(database, "", resolve=lambda host, port: ["127.0.0.1"])
    with receiving(answering(200)) as receiver:
        port = receiver.url.rpartition(":")[2]
        due(database, f"http://example.org:{port}")
        due(database, receiver.url)
        sender.run()

        def kept() -> list[Delivery]:
            with database.reading() as session:
                return list(session.scalars(select(Delivery)))

        wait_until(lambda: all(each.log for each in kept()), "each was tried")
        assert all("forbidden_url" in each.log[0]["error"] for each in kept())
    assert receiver.calls == []
    sender._pool.shutdown(wait=False, cancel_futures=True)


def test_a_receiver_that_hangs_holds_up_nobody_else(database) -> None:
    sender = WebhookSender(database, ALLOWED, call_s=20.0)
    with receiving(hanging) as slow, receiving(answering(200)) as quick:
        for _ in range(12):
            due(database, slow.url)
        for _ in range(5):
            due(database, quick.url)

        def all_told() -> bool:
            sender.run()
            return len(quick.calls) == 5

        wait_until(all_told, "the quick one has heard of all")
        assert len(slow.calls) <= 2
    sender._pool.shutdown(wait=False, cancel_futures=True)


def test_after_three_days_a_delivery_is_given_up(database, deliver) -> None:
    with receiving(answering(500)) as receiver:
        due(database, receiver.url)
        with database.writing() as session:
            session.execute(
                update(Delivery).values(
                    attempts=len(deliveries.RETRY_DELAYS_S), log=[{}] * len(deliveries.RETRY_DELAYS_S)
                )
            )
        assert deliver()[0].state == DeliveryState.FAILED


@pytest.mark.parametrize("database_url", ["sqlite", "postgres"], indirect=True)
def test_several_deliverers_at_once_call_once_each(database) -> None:
    senders = [WebhookSender(database, ALLOWED) for _ in range(3)]
    with receiving(answering(200)) as receiver:
        for _ in range(20):
            due(database, receiver.url)

        def all_told() -> bool:
            meet(*(sender.run for sender in senders))
            with database.reading() as session:
                return set(session.scalars(select(Delivery.state))) == {DeliveryState.DELIVERED}

        wait_until(all_told, "all were told")
    told = [call.headers["webhook-id"] for call in receiver.calls]
    assert (len(told), len(set(told))) == (20, 20)
    for sender in senders:
        sender._pool.shutdown(wait=False, cancel_futures=True)


def test_a_call_that_could_not_be_noted_is_made_again(database, deliver, monkeypatch) -> None:
    with receiving(answering(200)) as receiver:
        due(database, receiver.url)
        dying = WebhookSender(database, ALLOWED)
        died = threading.Event()

        def die(*_: object, **__: object) -> None:
            died.set()
            raise DatabaseUnavailable

        with monkeypatch.context() as patched:
            patched.setattr(deliveries, "record_attempt", die)
            dying.run()
            assert died.wait(20)
            dying._pool.shutdown(wait=False, cancel_futures=True)
        with database.writing() as session:
            assert not deliveries.claim_due(session, FakeSlots()), "it is claimed still"
        with database.writing() as session:  # its claim ends, without an entry in the log
            session.execute(update(Delivery).values(next_at=sql_clock.now_plus(-1), log=[{}]))
        [delivery] = deliver()
    assert (delivery.state, len(receiver.calls)) == (DeliveryState.DELIVERED, 2)
    assert len({call.headers["webhook-id"] for call in receiver.calls}) == 1


def test_what_nobody_foresaw_is_an_attempt_that_failed(database, deliver, monkeypatch) -> None:
    monkeypatch.setattr(webhook_payloads, "payload_of", lambda *_: {}["nothing"])
    due(database, "http://127.0.0.1:1/")
    [delivery] = deliver()
    assert (delivery.state, delivery.log[0]["error"]) == (DeliveryState.PENDING, "internal: KeyError")


@pytest.fixture
def certificate(tmp_path) -> str:
    """A certificate of hooks.example.org that nobody has signed but itself, and its key, in one file."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is needed to make a certificate")
    path = tmp_path / "certificate.pem"
    named = ["-subj", "/CN=hooks.example.org", "-addext", "subjectAltName=DNS:hooks.example.org"]
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", str(path), *named]
    made = subprocess.run(make, check=True, capture_output=True, text=True).stdout
    path.write_text(path.read_text() + made)
    return str(path)


@pytest.mark.parametrize(("host", "trusted", "delivered"), [
    ("hooks.example.org", True, True), ("other.example.org", True, False), ("hooks.example.org", False, False),
])  # fmt: skip
def test_a_receiver_has_to_prove_its_name(database, certificate, monkeypatch, host, trusted, delivered) -> None:
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", certificate)
    sender = WebhookSender(database, ALLOWED, resolve=lambda host, port: ["127.0.0.1"])
    with receiving(answering(200), certificate=certificate) as receiver:
        due(database, f"https://{host}:{receiver.url.rpartition(':')[2]}")

        def tried() -> Delivery | None:
            with database.reading() as session:
                delivery = session.scalars(select(Delivery)).one()
            return delivery if delivery.log else None

        sender.run()
        found = wait_until(tried, "it was tried")
        assert (found.state == DeliveryState.DELIVERED, len(receiver.calls)) == (delivered, int(delivered))
        assert delivered or "CERTIFICATE_VERIFY_FAILED" in found.log[0]["error"]
    sender._pool.shutdown(wait=False, cancel_futures=True)
