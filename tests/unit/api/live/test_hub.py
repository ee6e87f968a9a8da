"""The hub: one reader that tells many followers, from Redis and from the database, and who waits there."""

import threading
from collections.abc import Callable, Iterator, Mapping

import pytest
from redis import Redis, RedisError

from api.live.hub import Hub
from api.live.subscriber import JobRow, PublishedEvent, Signal, Subscriber
from api.live.ttl_cache import TtlCache
from shared.errors import DatabaseUnavailable
from shared.messaging.progress import Event, RedisProgress
from shared.shares import Shares
from tests.support.claims import claim_job
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
def permits() -> Shares:
    return Shares(2)


@pytest.fixture
def snapshots() -> TtlCache[str, str]:
    """Cached snapshots, kept for longer than any test takes."""
    return TtlCache(3600)


@pytest.fixture
def hub(database, progress, permits, snapshots) -> Iterator[Hub]:
    made = Hub(database, progress, permits, snapshots)
    yield made
    made.close(wait_s=10)  # before its Redis and its database are closed


@pytest.fixture
def worker(redis) -> RedisProgress:
    """The other end of Redis."""
    return RedisProgress(redis)


def told(subscriber: Subscriber, count: int) -> list[PublishedEvent]:
    """Hear that many events."""
    return heard(subscriber, lambda news: isinstance(news, PublishedEvent), count)


def heard(subscriber: Subscriber, wanted: Callable, count: int = 1) -> list:
    found: list = []
    while len(found) < count:
        news = subscriber.drain(10)
        assert news, f"only {found} came"
        found += [one for one in news if wanted(one)]
    return found


def numbers(events: list[PublishedEvent]) -> list[int]:
    return [one.event.data["step"] for one in events]


def test_all_followers_of_a_job_are_told_each_event_once_and_in_order(hub, worker) -> None:
    with hub.subscribe("a") as first, hub.subscribe("a") as second, hub.subscribe("b") as other:
        for number in range(1, 6):
            worker.steps("a", [{"step": number}], None)
        worker.steps("b", [{"step": 99}], None)
        assert numbers(told(first, 5)) == [1, 2, 3, 4, 5]
        assert numbers(told(second, 5)) == [1, 2, 3, 4, 5]
        assert numbers(told(other, 1)) == [99]


def test_an_event_is_written_once_however_many_follow(hub, worker) -> None:
    with hub.subscribe("a") as first, hub.subscribe("a") as second:
        worker.steps("a", [{"step": 1}], None)
        assert told(first, 1)[0] is told(second, 1)[0]


def test_what_was_before_is_not_told(hub, worker) -> None:
    worker.steps("a", [{"step": 1}], None)
    with hub.subscribe("a") as subscriber:
        worker.steps("a", [{"step": 2}], None)
        assert numbers(told(subscriber, 1)) == [2]


def test_a_change_of_state_is_told_without_redis(hub, progress, database) -> None:

    progress.away = True
    job_id = add_job(database)
    with hub.subscribe(job_id) as subscriber:
        assert heard(subscriber, lambda news: isinstance(news, JobRow))[0].state == "queued"
        with database.writing() as session:
            claim_job(session, job_id, worker="w", weights={}, lease_s=20)
        assert heard(subscriber, lambda news: isinstance(news, JobRow))[0].state == "running"


def test_who_is_told_of_a_state_is_shown_it_even_if_the_worker_has_not_told_redis_yet(hub, database, snapshots) -> None:

    job_id = add_job(database)
    with hub.subscribe(job_id) as subscriber:
        heard(subscriber, lambda news: isinstance(news, JobRow))
        snapshots.keep(job_id, "as it waited")
        with database.writing() as session:
            claim_job(session, job_id, worker="w", weights={}, lease_s=20)
        heard(subscriber, lambda news: isinstance(news, JobRow))
        assert snapshots.get(job_id) is None


def test_who_waited_for_another_state_is_shown_it(hub, database, snapshots) -> None:
    job_id = add_job(database)
    snapshots.keep(job_id, "as it ran")
    assert hub.wait_change(job_id, "running", owner="ann", timeout_s=600)
    assert snapshots.get(job_id) is None


def test_a_deleted_job_is_told(hub) -> None:
    with hub.subscribe("nobody") as subscriber:
        assert heard(subscriber, lambda news: news is Signal.DELETED)


def test_who_followed_while_redis_was_away_is_told_to_read_again(hub, progress, worker) -> None:
    progress.away = True
    with hub.subscribe("a") as subscriber:
        worker.steps("a", [{"step": 1}], None)
        progress.away = False
        assert heard(subscriber, lambda news: news is Signal.BEHIND)
        worker.steps("a", [{"step": 2}], None)
        assert numbers(told(subscriber, 1)) == [2]


def test_who_follows_on_hears_all_when_redis_returns(hub, progress, worker) -> None:
    with hub.subscribe("a") as subscriber:
        worker.steps("a", [{"step": 1}], None)
        told(subscriber, 1)
        progress.away = True
        assert progress.was_missed.wait(10)
        worker.steps("a", [{"step": 2}], None)
        progress.away = False
        assert numbers(told(subscriber, 1)) == [2]


def test_a_mistake_in_one_reading_does_not_end_the_reading(hub, progress, worker) -> None:
    with hub.subscribe("a") as subscriber:
        progress.broken = True
        assert progress.was_missed.wait(10)
        progress.broken = False
        worker.steps("a", [{"step": 1}], None)
        assert numbers(told(subscriber, 1)) == [1]


def test_a_follower_that_lags_is_dropped_cut_and_told_nothing_more() -> None:
    cut: list[bool] = []
    subscriber = Subscriber(hang_up=lambda: cut.append(True))
    news = PublishedEvent(Event("1-0", "step", {}), "")
    for _ in range(3000):
        subscriber.push(news)
    assert subscriber.dropped
    assert cut == [True]
    kept = subscriber.drain(0)
    subscriber.push(news)
    assert len(kept) < 3000
    assert subscriber.drain(0) == []


def test_a_follower_beyond_its_time_is_cut(hub) -> None:
    cut = threading.Event()
    with hub.subscribe("a", Subscriber(until=0.0, hang_up=cut.set)) as subscriber:
        assert cut.wait(10)
        assert subscriber.dropped


def test_a_closed_hub_wakes_who_waits_and_who_comes(hub) -> None:
    with hub.subscribe("a") as subscriber:
        hub.close()
        assert subscriber.drain(10)
        assert subscriber.dropped
    with hub.subscribe("a") as late:
        assert late.dropped


def test_a_closed_hub_reads_no_more(hub) -> None:
    before = set(threading.enumerate())
    with hub.subscribe("a"):
        assert set(threading.enumerate()) - before
        hub.close(wait_s=10)
        assert not set(threading.enumerate()) - before
    with hub.subscribe("a"):
        assert not set(threading.enumerate()) - before


def test_a_wait_ends_with_the_change(hub, database) -> None:

    job_id = add_job(database)
    answers: list[bool] = []
    waiter = threading.Thread(
        target=lambda: answers.append(hub.wait_change(job_id, "queued", owner="ann", timeout_s=20))
    )
    waiter.start()
    with database.writing() as session:
        claim_job(session, job_id, worker="w", weights={}, lease_s=20)
    waiter.join(20)
    assert answers == [True]


def test_a_wait_that_is_no_longer_needed_ends_at_once(hub, database) -> None:
    assert hub.wait_change(add_job(database), "running", owner="ann", timeout_s=600)
    assert hub.wait_change("nobody", "running", owner="ann", timeout_s=600)


def test_a_wait_without_a_change_ends_at_its_time(hub, database) -> None:
    assert not hub.wait_change(add_job(database), "queued", owner="ann", timeout_s=0.05)


def test_a_wait_without_a_permit_does_not_wait_and_each_gives_its_own_back(hub, permits, database) -> None:
    job_id = add_job(database)
    for _ in range(3):
        hub.wait_change(job_id, "queued", owner="ann", timeout_s=0)
    assert permits.take("ann")
    assert permits.take("bob")
    assert not hub.wait_change(job_id, "queued", owner="ann", timeout_s=600)


def test_a_state_is_taken_as_it_was_while_the_database_is_away(hub, monkeypatch) -> None:
    def away(_ids: list[str]) -> dict[str, JobRow]:
        raise DatabaseUnavailable

    monkeypatch.setattr(hub, "rows", away)
    assert hub.state("a", "queued") == "queued"
