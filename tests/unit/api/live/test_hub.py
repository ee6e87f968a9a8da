"""The hub: one reader that tells many followers, from Redis and from the database, and who waits there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping

import pytest
from redis import Redis, RedisError

from api.live.hub import Hub
from api.live.subscriber import Follower, Row, Sign, Told
from api.live.ttl_cache import Recent
from shared.errors import DatabaseUnavailable
from shared.messaging.progress import Event, RedisProgress
from tests.support.factories import add_job


class Going(RedisProgress):
    """One that is away, or whose answers make no sense, as long as it is told so."""

    def __init__(self, redis: Redis) -> None:
        super().__init__(redis)
        self.away = self.broken = False
        self.was_missed = threading.Event()

    def span(self, job_id: str) -> tuple[str, str] | None:
        self._fail()
        return super().span(job_id)

    def wait_events(self, after: Mapping[str, str], *, block_ms: int) -> list[tuple[str, Event]]:
        self._fail()
        return super().wait_events(after, block_ms=block_ms)

    def _fail(self) -> None:
        if self.away or self.broken:
            self.was_missed.set()
            raise RedisError("away") if self.away else ValueError("broken")


@pytest.fixture
def progress(redis) -> Going:
    return Going(redis)


@pytest.fixture
def permits() -> threading.BoundedSemaphore:
    return threading.BoundedSemaphore(2)


@pytest.fixture
def seen() -> Recent[str, str]:
    """What was seen of jobs, kept for longer than any test takes."""
    return Recent(3600)


@pytest.fixture
def hub(database, progress, permits, seen) -> Iterator[Hub]:
    made = Hub(database, progress, permits, seen)
    yield made
    made.close()


@pytest.fixture
def worker(redis) -> RedisProgress:
    """The other end of Redis."""
    return RedisProgress(redis)


def told(follower: Follower, count: int) -> list[Told]:
    """Hear that many events."""
    return heard(follower, lambda news: isinstance(news, Told), count)


def heard(follower: Follower, wanted: Callable, count: int = 1) -> list:
    found: list = []
    while len(found) < count:
        news = follower.hear(10)
        assert news, f"only {found} came"
        found += [one for one in news if wanted(one)]
    return found


def numbers(events: list[Told]) -> list[int]:
    return [one.event.data["step"] for one in events]


def test_all_followers_of_a_job_are_told_each_event_once_and_in_order(hub, worker) -> None:
    with hub.follow("a") as first, hub.follow("a") as second, hub.follow("b") as other:
        for number in range(1, 6):
            worker.steps("a", [{"step": number}], None)
        worker.steps("b", [{"step": 99}], None)
        assert numbers(told(first, 5)) == [1, 2, 3, 4, 5]
        assert numbers(told(second, 5)) == [1, 2, 3, 4, 5]
        assert numbers(told(other, 1)) == [99]


def test_an_event_is_written_once_however_many_follow(hub, worker) -> None:
    with hub.follow("a") as first, hub.follow("a") as second:
        worker.steps("a", [{"step": 1}], None)
        assert told(first, 1)[0] is told(second, 1)[0]


def test_what_was_before_is_not_told(hub, worker) -> None:
    worker.steps("a", [{"step": 1}], None)
    with hub.follow("a") as follower:
        worker.steps("a", [{"step": 2}], None)
        assert numbers(told(follower, 1)) == [2]


def test_a_change_of_state_is_told_without_redis(hub, progress, database) -> None:
    from shared.db.jobs import claims

    progress.away = True
    job_id = add_job(database)
    with hub.follow(job_id) as follower:
        assert heard(follower, lambda news: isinstance(news, Row))[0].state == "queued"
        with database.writing() as session:
            claims.claim_job(session, job_id, worker="w", weights={}, lease_s=20)
        assert heard(follower, lambda news: isinstance(news, Row))[0].state == "running"


def test_who_is_told_of_a_state_is_shown_it_even_if_the_worker_has_not_told_redis_yet(hub, database, seen) -> None:
    from shared.db.jobs import claims

    job_id = add_job(database)
    with hub.follow(job_id) as follower:
        heard(follower, lambda news: isinstance(news, Row))
        seen.keep(job_id, "as it waited")
        with database.writing() as session:
            claims.claim_job(session, job_id, worker="w", weights={}, lease_s=20)
        heard(follower, lambda news: isinstance(news, Row))
        assert seen.get(job_id) is None


def test_who_waited_for_another_state_is_shown_it(hub, database, seen) -> None:
    job_id = add_job(database)
    seen.keep(job_id, "as it ran")
    assert hub.wait_change(job_id, "running", timeout_s=600)
    assert seen.get(job_id) is None


def test_a_deleted_job_is_told(hub) -> None:
    with hub.follow("nobody") as follower:
        assert heard(follower, lambda news: news is Sign.DELETED)


def test_who_followed_while_redis_was_away_is_told_to_read_again(hub, progress, worker) -> None:
    progress.away = True
    with hub.follow("a") as follower:
        worker.steps("a", [{"step": 1}], None)
        progress.away = False
        assert heard(follower, lambda news: news is Sign.BEHIND)
        worker.steps("a", [{"step": 2}], None)
        assert numbers(told(follower, 1)) == [2]


def test_who_follows_on_hears_all_when_redis_returns(hub, progress, worker) -> None:
    with hub.follow("a") as follower:
        worker.steps("a", [{"step": 1}], None)
        told(follower, 1)
        progress.away = True
        assert progress.was_missed.wait(10)
        worker.steps("a", [{"step": 2}], None)
        progress.away = False
        assert numbers(told(follower, 1)) == [2]


def test_a_mistake_in_one_reading_does_not_end_the_reading(hub, progress, worker) -> None:
    with hub.follow("a") as follower:
        progress.broken = True
        assert progress.was_missed.wait(10)
        progress.broken = False
        worker.steps("a", [{"step": 1}], None)
        assert numbers(told(follower, 1)) == [1]


def test_a_follower_that_lags_is_dropped_cut_and_told_nothing_more() -> None:
    cut: list[bool] = []
    follower = Follower(hang_up=lambda: cut.append(True))
    news = Told(Event("1-0", "step", {}), "")
    for _ in range(3000):
        follower.tell(news)
    assert follower.dropped
    assert cut == [True]
    kept = follower.hear(0)
    follower.tell(news)
    assert len(kept) < 3000
    assert follower.hear(0) == []


def test_a_follower_beyond_its_time_is_cut(hub) -> None:
    cut = threading.Event()
    with hub.follow("a", Follower(until=0.0, hang_up=cut.set)) as follower:
        assert cut.wait(10)
        assert follower.dropped


def test_a_closed_hub_wakes_who_waits_and_who_comes(hub) -> None:
    with hub.follow("a") as follower:
        hub.close()
        assert follower.hear(10)
        assert follower.dropped
    with hub.follow("a") as late:
        assert late.dropped


def test_a_wait_ends_with_the_change(hub, database) -> None:
    from shared.db.jobs import claims

    job_id = add_job(database)
    answers: list[bool] = []
    waiter = threading.Thread(target=lambda: answers.append(hub.wait_change(job_id, "queued", timeout_s=20)))
    waiter.start()
    with database.writing() as session:
        claims.claim_job(session, job_id, worker="w", weights={}, lease_s=20)
    waiter.join(20)
    assert answers == [True]


def test_a_wait_that_is_no_longer_needed_ends_at_once(hub, database) -> None:
    assert hub.wait_change(add_job(database), "running", timeout_s=600)
    assert hub.wait_change("nobody", "running", timeout_s=600)


def test_a_wait_without_a_change_ends_at_its_time(hub, database) -> None:
    assert not hub.wait_change(add_job(database), "queued", timeout_s=0.05)


def test_a_wait_without_a_permit_does_not_wait_and_each_gives_its_own_back(hub, permits, database) -> None:
    job_id = add_job(database)
    for _ in range(3):
        hub.wait_change(job_id, "queued", timeout_s=0)
    assert permits.acquire(blocking=False)
    assert permits.acquire(blocking=False)
    assert not hub.wait_change(job_id, "queued", timeout_s=600)
    permits.release(2)


def test_a_state_is_taken_as_it_was_while_the_database_is_away(hub, monkeypatch) -> None:
    def away(_ids: list[str]) -> dict[str, Row]:
        raise DatabaseUnavailable

    monkeypatch.setattr(hub, "rows", away)
    assert hub.state("a", "queued") == "queued"
