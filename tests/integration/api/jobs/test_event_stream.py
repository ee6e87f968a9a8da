"""A job's events as clients get them: no gap, no event twice, and an end, whatever happens to Redis and the job."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from flask.testing import FlaskClient
from redis import RedisError
from sqlalchemy import delete

from api.client.sse import parse
from api.jobs import event_stream as api_events
from api.live import subscriber
from shared.db.models import Job
from shared.messaging.progress import Event, RedisProgress
from tests.support.claims import claim
from tests.support.factories import add_job
from tests.support.flask_clients import client_with
from tests.support.waiting import wait_until


@pytest.fixture
def job_id(app, database) -> str:
    return add_job(database)


@pytest.fixture
def worker(redis) -> RedisProgress:
    return RedisProgress(redis)


@contextmanager
def following(client: FlaskClient, job_id: str, last_id: str = "") -> Iterator[Iterator[Event]]:
    """Follow a job; events are read as they come."""
    headers = {"Last-Event-ID": last_id} if last_id else {}
    with client.get(f"/v1/jobs/{job_id}/events", headers=headers, buffered=False) as response:
        yield parse(line for chunk in response.response for line in chunk.decode().split("\n"))


def taken(events: Iterator[Event], count: int) -> list[Event]:
    return [next(events) for _ in range(count)]


def steps(events: list[Event]) -> list[int]:
    return [event.data["step"] for event in events if event.name == "step"]


def test_history_and_what_comes_after_meet_without_a_hole_or_a_repetition(client, worker, job_id) -> None:
    worker.steps(job_id, [{"step": 1}, {"step": 2}], None)
    with following(client, job_id) as events:
        begun = taken(events, 3)
        worker.steps(job_id, [{"step": 3}], None)
        worker.ended([job_id], "succeeded")
        rest = list(events)
    assert steps([*begun, *rest]) == [1, 2, 3]
    assert [event.name for event in rest] == ["step", "end"]


def test_what_is_both_kept_and_told_live_comes_once(app, client, worker, job_id) -> None:
    with following(client, job_id) as events, app.extensions["atelier"].hub.subscribe(job_id) as witness:
        assert next(events).name == "state"  # it is told from now on, and has read no history yet
        worker.steps(job_id, [{"step": 1}], None)
        wait_until(
            lambda: any(isinstance(news, subscriber.PublishedEvent) for news in witness.drain(1)), "the hub tells"
        )
        assert next(events).data == {"step": 1}
        worker.ended([job_id], "succeeded")
        assert [event.name for event in events] == ["end"]


def test_a_long_history_comes_whole(client, worker, job_id) -> None:
    worker.steps(job_id, [{"step": number} for number in range(1, 2502)], None)
    worker.ended([job_id], "succeeded")
    with following(client, job_id) as events:
        assert steps(list(events)) == list(range(1, 2502))


def test_a_client_that_comes_back_misses_nothing(client, worker, job_id) -> None:
    worker.steps(job_id, [{"step": 1}, {"step": 2}], None)
    with following(client, job_id) as events:
        last = taken(events, 2)[-1]
    worker.steps(job_id, [{"step": 3}], None)
    with following(client, job_id, last.id) as events:
        names = taken(events, 3)
    assert [event.name for event in names] == ["state", "step", "step"]
    assert steps(names) == [2, 3]


def test_a_trimmed_history_is_a_gap_up_to_what_is_kept(client, worker, redis, job_id) -> None:
    worker.steps(job_id, [{"step": number} for number in (1, 2, 3, 4)], None)
    stored = list(worker.events(job_id))
    redis.xtrim(f"atelier:job:{job_id}:progress", maxlen=1, approximate=False)
    with following(client, job_id, stored[0].id) as events:
        _state, gap, step = taken(events, 3)
    assert (gap.name, gap.data) == ("gap", {"from": stored[0].id, "to": stored[3].id})
    assert step.data == {"step": 4}


def test_a_trimmed_history_that_the_client_had_is_no_gap(client, worker, redis, job_id) -> None:
    worker.steps(job_id, [{"step": number} for number in (1, 2, 3, 4)], None)
    stored = list(worker.events(job_id))
    redis.xtrim(f"atelier:job:{job_id}:progress", maxlen=2, approximate=False)
    with following(client, job_id, stored[2].id) as events:
        assert [event.name for event in taken(events, 2)] == ["state", "step"]


@pytest.mark.parametrize("place", ["1-0", "99999999999999-0", "99999999999999999999-99999999999999999999"])
def test_a_wiped_history_is_a_gap_with_nothing_after_it(client, redis, job_id, place) -> None:
    redis.flushall()
    with following(client, job_id, place) as events:
        assert taken(events, 2)[1].data == {"from": place, "to": None}


def test_a_history_that_began_anew_is_a_gap(client, worker, redis, job_id) -> None:
    worker.steps(job_id, [{"step": 1}], None)
    redis.flushall()
    worker.steps(job_id, [{"step": 2}], None)
    kept = worker.span(job_id)
    with following(client, job_id, "99999999999999-0") as events:
        _state, gap, step = taken(events, 3)
    assert gap.data == {"from": "99999999999999-0", "to": kept[0]}
    assert step.data == {"step": 2}


def test_a_job_that_ends_while_redis_forgets_it_ends_the_stream(client, redis, job_id) -> None:
    with following(client, job_id) as events:
        taken(events, 1)
        redis.flushall()
        client.post(f"/v1/jobs/{job_id}/cancel")
        assert [event.data for event in events] == [{"state": "canceled"}]


def test_a_new_state_is_told_without_redis_telling_it(client, database, redis, job_id) -> None:
    with following(client, job_id) as events:
        assert next(events).data["state"] == "queued"
        claim(database, job_id)
        assert next(events).data == {"state": "running", "attempt": 1}


def test_a_job_deleted_while_it_is_followed_ends_the_stream(client, database, redis, job_id) -> None:
    with following(client, job_id) as events:
        taken(events, 1)
        with database.writing() as session:
            session.execute(delete(Job).where(Job.id == job_id))
        assert [event.data for event in events] == [{"state": "deleted"}]


def test_a_silent_stream_says_that_it_lives(client, redis, job_id, monkeypatch) -> None:
    monkeypatch.setattr(api_events, "_HEARTBEAT_S", 0.0)
    with client.get(f"/v1/jobs/{job_id}/events", buffered=False) as response:
        assert b": alive\n" in (next(response.response) for _ in range(10))


def test_no_block_of_lines_is_without_an_event(client, worker, job_id, monkeypatch) -> None:
    monkeypatch.setattr(api_events, "_HEARTBEAT_S", 0.0)
    worker.steps(job_id, [{"step": 1}], None)
    with client.get(f"/v1/jobs/{job_id}/events", buffered=False) as response:
        text = b"".join(next(response.response) for _ in range(10)).decode()
    assert text.startswith("retry: 1000\nevent: state\n")
    assert all("\ndata: " in f"\n{block}" for block in text.rpartition("\n\n")[0].split("\n\n"))


def test_who_returns_after_the_end_is_told_that_nothing_follows(client, worker, job_id) -> None:
    client.post(f"/v1/jobs/{job_id}/cancel")  # Redis is told nothing of it, so `end` comes from the database
    with following(client, job_id) as events:
        assert [(event.name, event.id) for event in events] == [("end", "end")]
    worker.ended([job_id], "canceled")
    with following(client, job_id) as events:
        assert [(event.name, event.id) for event in events] == [("end", "end")]
    answer = client.get(f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": "end"})
    assert (answer.status_code, answer.data) == (204, b"")


def test_who_claims_to_have_seen_the_end_of_a_job_that_goes_on_follows_it(client, redis, job_id) -> None:
    with following(client, job_id, "end") as events:
        assert next(events).name == "state"


def test_a_follower_that_lags_too_far_is_sent_away_and_resumes(app, client, worker, job_id, monkeypatch) -> None:
    monkeypatch.setattr(subscriber, "_CAPACITY", 5)
    with following(client, job_id) as events:
        heard = taken(events, 1)
        for number in range(1, 40):
            worker.steps(job_id, [{"step": number}], None)
            if number == 1:
                heard += taken(events, 1)
        heard += list(events)
    last = next(event.id for event in reversed(heard) if event.id)
    worker.ended([job_id], "succeeded")
    with following(client, job_id, last) as events:
        heard += list(events)
    assert steps(heard) == list(range(1, 40))


def test_history_is_read_when_redis_returns(app, client, worker, job_id, monkeypatch) -> None:
    found = app.extensions["atelier"]

    def away(*_given: object) -> None:
        raise RedisError

    worker.steps(job_id, [{"step": 1}], None)
    monkeypatch.setattr(found.progress, "events", away)
    with following(client, job_id) as events:
        taken(events, 1)
        monkeypatch.undo()
        worker.steps(job_id, [{"step": 2}], None)
        assert steps(taken(events, 2)) == [1, 2]


def test_a_stream_of_a_stranger_is_not_found(app, database, redis, job_id) -> None:
    from tests.support.factories import add_key

    stranger = client_with(app, add_key(database, "client", "ann"))
    answer = stranger.get(f"/v1/jobs/{job_id}/events")
    assert (answer.status_code, json.loads(answer.data)["code"]) == (404, "not_found")
