"""Messages to the workers over a real Redis, and without one."""

from __future__ import annotations

import json
import time
from base64 import b64decode

import pytest

from shared.broker import PAINT_QUEUE, Broker, celery_url
from shared.errors import BrokerUnavailable


def test_a_message_carries_job_ids_and_nothing_else(settings, redis) -> None:
    broker = Broker(settings)
    assert broker.waiting() == 0
    assert broker.send_paint(["a", "b"]) is True
    assert broker.waiting() == 1
    message = json.loads(redis.lpop(PAINT_QUEUE))
    arguments, keywords, _ = json.loads(b64decode(message["body"]))
    assert (arguments, keywords) == ([["a", "b"]], {})


def test_a_broker_that_is_away_is_told_soon(settings) -> None:
    started = time.monotonic()
    with pytest.raises(BrokerUnavailable):
        Broker(settings).waiting()
    assert Broker(settings).send_paint(["a"]) is False
    assert time.monotonic() - started < 15


def test_celery_spells_sockets_its_own_way() -> None:
    assert celery_url("unix:///run/redis.sock") == "redis+socket:///run/redis.sock"
    assert celery_url("redis://host:6379/1") == "redis://host:6379/1"
