"""What is known of broken maintenance tasks, in a real Redis."""

import pytest
from redis import RedisError

from shared.messaging import progress
from shared.messaging.chores import STALE_S, BrokenTasks


def test_a_task_is_broken_until_it_works_again_and_its_errors_stay_counted(redis) -> None:
    broken = BrokenTasks(redis)
    for task in ("dispatch", "dispatch", "expire"):
        broken.mark(task, "KeyError")
    assert broken.current() == {"dispatch": "KeyError", "expire": "KeyError"}
    broken.clear("dispatch")
    assert broken.current() == {"expire": "KeyError"}
    assert broken.counts() == {"dispatch": 2, "expire": 1}


def test_a_mark_that_nobody_renews_goes_stale_and_every_key_expires(redis) -> None:
    BrokenTasks(redis, clock=lambda: 1000.0).mark("dispatch", "KeyError")
    assert BrokenTasks(redis, clock=lambda: 1000.0 + STALE_S + 1).current() == {}
    assert all(redis.ttl(key) > 0 for key in redis.scan_iter())


def test_without_redis_marking_raises_nothing_and_reading_does(tmp_path) -> None:
    broken = BrokenTasks(progress.connect(f"unix://{tmp_path}/away.sock"))
    broken.mark("dispatch", "KeyError")
    broken.clear("dispatch")
    with pytest.raises(RedisError):
        broken.current()
