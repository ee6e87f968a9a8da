"""Publishing to a real Redis, and to one that is away."""

from __future__ import annotations

import json
import time
from base64 import b64decode

from shared.broker import MAINTENANCE_QUEUE, PAINT_QUEUE, Broker, celery_url
from tests.waiting import wait_until


def test_a_message_carries_job_ids_and_nothing_else(settings, redis) -> None:
    assert Broker(settings).send_paint(["a", "b"]) is True
    message = json.loads(redis.lindex(PAINT_QUEUE, 0))
    arguments, keywords, _ = json.loads(b64decode(message["body"]))
    assert (arguments, keywords) == ([["a", "b"]], {})


def test_a_nudge_reaches_the_maintenance_queue(settings, redis) -> None:
    Broker(settings).nudge_dispatch()
    wait_until(lambda: redis.llen(MAINTENANCE_QUEUE) == 1, "the nudge arrives")


def test_a_nudge_never_waits_for_a_redis_that_is_away(settings) -> None:
    started = time.monotonic()
    Broker(settings).nudge_dispatch()
    assert time.monotonic() - started < 0.5


def test_a_refused_message_is_told(settings) -> None:
    assert Broker(settings).send_paint(["a"]) is False


def test_sockets_are_spelt_as_celery_spells_them() -> None:
    assert celery_url("unix:///run/redis.sock") == "redis+socket:///run/redis.sock"
    assert celery_url("redis://host/0") == "redis://host/0"
