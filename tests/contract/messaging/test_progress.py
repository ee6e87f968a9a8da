"""Progress over a real Redis, and without one."""

import json

import pytest
from redis import Redis, RedisError

from shared.messaging import progress
from shared.messaging.progress import Event, RedisProgress


def step(number: int) -> dict:
    return {"step": number, "losses": {"total": 1 / number}}


@pytest.fixture
def channel(redis: Redis) -> RedisProgress:
    return RedisProgress(redis)


def waited(channel: RedisProgress, after: str) -> list[Event]:
    found = channel.wait_events({"j": after, "other": after}, block_ms=10)
    assert all(job_id == "j" for job_id, _ in found)
    return [event for _, event in found]


def test_every_step_is_kept_in_order_with_rising_ids(channel) -> None:
    channel.started("j", 1)
    channel.steps("j", [step(1), step(2)], None)
    channel.steps("j", [step(3)], b"jpeg")
    assert channel.preview("j") == b"jpeg"
    channel.ended(["j"], "succeeded")
    events = list(channel.events("j"))
    assert [event.name for event in events] == ["state", "step", "step", "step", "preview", "end"]
    assert [data["step"] for data in channel.all_steps("j")] == [1, 2, 3]
    assert channel.get_latest_step("j") is None
    assert events[-1].data == {"state": "succeeded"}
    keys = [tuple(int(part) for part in event.id.split("-")) for event in events]
    assert keys == sorted(set(keys))


@pytest.mark.parametrize(("state", "kept"), [("succeeded", False), ("canceled", False), ("failed", True)])
def test_what_lies_in_storage_goes_soon_after_the_end(channel, redis, state, kept) -> None:
    channel.steps("j", [step(1)], b"jpeg")
    channel.ended(["j"], state)
    assert (channel.preview("j") is not None) is kept
    assert all((redis.ttl(key) > 60) is kept for key in redis.scan_iter())


def test_a_reader_resumes_where_it_was(channel) -> None:
    channel.started("j", 1)
    channel.steps("j", [step(1), step(2), step(3)], None)
    seen = waited(channel, "0")
    assert [event.data.get("step") for event in waited(channel, seen[1].id)] == [2, 3]
    assert waited(channel, seen[-1].id) == []


def test_a_new_attempt_begins_a_fresh_history(channel) -> None:
    channel.started("j", 1)
    channel.steps("j", [step(9)], b"old")
    channel.started("j", 2)
    assert channel.all_steps("j") == []
    assert channel.preview("j") is None


def test_an_attempt_that_goes_on_keeps_the_steps_before_it_and_drops_those_it_makes_again(channel) -> None:
    channel.started("j", 1)
    channel.steps("j", [step(1), step(2), step(3)], None)
    channel.started("j", 2, after_step=2)
    channel.steps("j", [step(3), step(4)], None)
    assert [found["step"] for found in channel.all_steps("j")] == [1, 2, 3, 4]


def test_a_wish_to_cancel_comes_back_with_the_steps(channel) -> None:
    assert channel.steps("j", [step(1)], None) is False
    channel.signal_cancel("j")
    assert channel.steps("j", [step(2)], None) is True
    channel.ended(["j"], "canceled")
    assert channel.steps("j", [step(3)], None) is False


def test_every_key_has_a_time_to_live(channel, redis) -> None:
    channel.started("j", 1)
    channel.signal_cancel("j")
    channel.steps("j", [step(1)], b"jpeg")
    channel.ended(["k"], "succeeded")
    found = redis.keys()
    assert found
    assert all(redis.ttl(key) > 0 for key in found)


def test_the_history_is_bounded(channel, redis, monkeypatch) -> None:
    monkeypatch.setattr(progress, "HISTORY_STEPS", 100)
    for chunk in range(50):
        channel.steps("j", [step(chunk * 10 + n + 1) for n in range(10)], None)
    assert redis.xlen("atelier:job:j:progress") < 250
    assert json.loads(channel.get_latest_step("j") or b"") == step(500)


def test_a_worker_goes_on_while_redis_is_away_and_says_so_once(tmp_path, capsys) -> None:
    channel = RedisProgress(progress.connect(f"unix://{tmp_path}/nobody.sock"))
    channel.started("j", 1)
    assert channel.steps("j", [step(1)], None) is False
    channel.ended(["j"], "succeeded")
    assert capsys.readouterr().out.count("progress_unavailable") == 1


def test_a_reader_is_told_that_redis_is_away(tmp_path) -> None:
    channel = RedisProgress(progress.connect(f"unix://{tmp_path}/nobody.sock"))
    with pytest.raises(RedisError):
        channel.get_latest_step("j")


def test_the_ends_of_many_stories_are_read_at_once(channel) -> None:
    for job_id in ("painted", "begun"):
        channel.started(job_id, 1)
    channel.steps("painted", [step(number) for number in range(1, 4)], b"old")
    channel.steps("painted", [step(4)], None)
    painted, begun, unknown = channel.list_recent(["painted", "begun", "unknown"])
    assert (painted.step, painted.preview) == (step(4), 3)
    assert painted.losses == [step(number)["losses"]["total"] for number in range(1, 5)]
    assert begun == unknown == progress.RecentProgress(None, [], None)
    assert channel.list_recent([]) == []
