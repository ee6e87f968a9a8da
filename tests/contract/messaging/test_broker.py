"""Messages to the workers over a real Redis, and without one."""

import json
import time
from base64 import b64decode

import pytest

from shared.errors import BrokerUnavailable
from shared.messaging.broker import PAINT_QUEUE, Broker, celery_url, create_celery
from shared.states import Rank


def test_a_message_carries_job_ids_and_nothing_else(settings, redis) -> None:
    broker = Broker(settings)
    assert broker.get_depth() == (0, 0, 0)
    assert broker.send_paint(["a", "b"], Rank.FIRST) is True
    assert broker.get_depth() == (1, 0, 0)
    message = json.loads(redis.lpop(PAINT_QUEUE))
    arguments, keywords, _ = json.loads(b64decode(message["body"]))
    assert (arguments, keywords) == ([["a", "b"]], {})


def test_messages_are_read_by_their_rank(settings, redis) -> None:
    broker = Broker(settings)
    for job_id, rank in (("item", Rank.BATCHED), ("job", Rank.SINGLE), ("turn", Rank.FIRST)):
        assert broker.send_paint([job_id], rank)
    assert broker.get_depth() == (1, 1, 1)
    read: list[list[str]] = []
    app = create_celery(settings)

    def take(body, message) -> None:
        read.extend(body[0])
        message.ack()

    with app.connection_for_read() as connection, app.amqp.TaskConsumer(connection, callbacks=[take], accept=["json"]):
        for _ in range(3):
            connection.drain_events(timeout=10)
    assert read == [["turn"], ["job"], ["item"]]
    assert broker.get_depth() == (0, 0, 0)


def test_a_broker_that_is_away_is_told_soon(settings) -> None:
    started = time.monotonic()
    with pytest.raises(BrokerUnavailable):
        Broker(settings).get_depth()
    assert Broker(settings).send_paint(["a"]) is False
    assert time.monotonic() - started < 15


def test_celery_spells_sockets_its_own_way() -> None:
    assert celery_url("unix:///run/redis.sock") == "redis+socket:///run/redis.sock"
    assert celery_url("redis://host:6379/1") == "redis://host:6379/1"
