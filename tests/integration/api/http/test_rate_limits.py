"""How many requests a key may make: one window for all processes, and nobody refused because Redis is away."""

import signal
import subprocess
from collections.abc import Iterator

import pytest
from redis import RedisError
from structlog.testing import capture_logs

from api.access import Caller
from api.app import create_app
from api.http import rate_limits
from api.http.rate_limits import RateLimits, RateLimitStatus
from shared.errors import RateLimited
from shared.states import Role
from tests.integration.api.dashboard.signing_in import sign_in, signed_in
from tests.support.concurrency import meet
from tests.support.factories import add_key
from tests.support.flask_clients import client_with
from tests.support.redis import redis_process
from tests.support.waiting import wait_until

ANN = Caller("a1", "ann", Role.CLIENT)


def asked(limits: RateLimits, caller: Caller = ANN) -> RateLimitStatus | int | None:
    """Count a request; give how its key stands, or the number of its refusal."""
    try:
        return limits.count(caller)
    except RateLimited:
        return 429


def test_a_window_is_one_for_all_processes_however_many_ask_at_once(redis, redis_url) -> None:
    processes = [RateLimits(redis_url, 100) for _ in range(4)]
    answers: list[RateLimitStatus | int | None] = []
    meet(*[lambda limits=limits: answers.append(asked(limits)) for limits in processes for _ in range(60)])
    assert len([answer for answer in answers if isinstance(answer, RateLimitStatus)]) == 100
    assert answers.count(429) == 140


def test_a_request_is_counted_however_many_threads_hold_a_connection(redis, redis_url) -> None:
    limits = RateLimits(redis_url, 10_000)
    pool = limits._pool
    held = [pool.get_connection() for _ in range(100)]  # each by a thread that waits for Redis at this moment
    try:
        assert isinstance(asked(limits), RateLimitStatus)
    finally:
        for connection in held:
            pool.release(connection)


def test_each_key_has_a_minute_of_its_own(redis, redis_url) -> None:
    limits = RateLimits(redis_url, 1)
    assert [asked(limits), asked(limits, Caller("b1", "ann", Role.CLIENT))] == [RateLimitStatus(1, 0, 60)] * 2
    assert asked(limits) == 429


def test_a_keys_own_limit_goes_before_that_of_the_settings(redis, redis_url) -> None:
    limits = RateLimits(redis_url, 1)
    bob = Caller("b1", "bob", Role.CLIENT, max_requests_per_min=3)
    assert [standing and standing.remaining for standing in (asked(limits, bob) for _ in range(3))] == [2, 1, 0]
    assert asked(limits, bob) == 429


def test_where_nothing_limits_a_key_redis_is_not_asked(redis, redis_url) -> None:
    assert asked(RateLimits(redis_url, 0)) is None
    assert redis.dbsize() == 0


def test_a_refusal_says_when_to_come_back_and_is_not_counted(settings, database, redis) -> None:
    limited = client_with(create_app(settings), add_key(database, max_requests_per_min=2))
    first, _, refused, again = [limited.get("/v1/jobs") for _ in range(4)]
    assert first.headers["RateLimit-Policy"] == '"minute";q=2;w=60'
    assert first.headers["RateLimit"] == '"minute";r=1;t=60'
    for answer in (refused, again):
        assert (answer.status_code, answer.json["code"], answer.json["limit"]) == (429, "rate_limited", 2)
        assert 1 <= int(answer.headers["Retry-After"]) <= 60
    [key] = redis.keys("atelier:limits*")
    assert redis.llen(key) == 2


def test_what_is_forbidden_is_counted_too(settings, database, redis) -> None:
    limited = client_with(create_app(settings), add_key(database, "client", max_requests_per_min=2))
    assert [limited.get("/v1/keys").status_code for _ in range(3)] == [403, 403, 429]


def test_what_needs_no_key_is_never_limited(settings, database, redis) -> None:
    limited = client_with(create_app(settings.model_copy(update={"requests_per_min": 1})), add_key(database))
    assert {limited.get("/healthz").status_code for _ in range(3)} == {200}
    assert "RateLimit" not in limited.get("/healthz").headers
    assert [limited.get("/v1/jobs").status_code for _ in range(2)] == [200, 429]


@pytest.fixture
def server(tmp_path) -> Iterator[subprocess.Popen]:
    """A Redis of the test's own, which it may freeze."""
    with redis_process(tmp_path) as process:
        yield process


def test_a_frozen_redis_limits_nobody_and_is_told_once_as_it_goes_and_once_as_it_returns(server, tmp_path) -> None:
    limits = RateLimits(f"unix://{tmp_path}/redis.sock", 1)
    assert asked(limits) == RateLimitStatus(1, 0, 60)
    with capture_logs() as told:
        server.send_signal(signal.SIGSTOP)
        answers: list[RateLimitStatus | int | None] = []
        meet(*[lambda: answers.append(asked(limits)) for _ in range(8)])
        answers += [asked(limits) for _ in range(1000)]  # were each to wait, the test would run out of time
        assert set(answers) == {None}
        server.send_signal(signal.SIGCONT)
        wait_until(lambda: asked(limits) == 429, "the limit holds again")
    assert [line["event"] for line in told] == ["rate_limits_unavailable", "rate_limits_returned"]


def test_what_redis_refuses_counts_as_its_being_away(redis, redis_url, monkeypatch) -> None:
    limits = RateLimits(redis_url, 1)

    def refuse(*_: object) -> None:
        raise RedisError("OOM command not allowed")

    monkeypatch.setattr(limits, "_counted", refuse)
    assert [asked(limits) for _ in range(3)] == [None] * 3


def test_pages_are_counted_apart_from_the_keys_programs(app, settings, database, redis) -> None:
    key = add_key(database, max_requests_per_min=2)
    page = signed_in(app, key)
    assert [page.get("/dashboard/jobs").status_code for _ in range(5)] == [200] * 5
    assert [client_with(app, key).get("/v1/jobs").status_code for _ in range(3)] == [200, 200, 429]


def test_a_browser_that_opens_too_many_pages_is_refused(redis, redis_url, monkeypatch) -> None:
    monkeypatch.setattr(rate_limits, "_MIN_PAGES_PER_MIN", 3)
    limits = RateLimits(redis_url, 1)
    for _ in range(3):
        limits.count_page(ANN)
    with pytest.raises(RateLimited):
        limits.count_page(ANN)
    assert isinstance(asked(limits), RateLimitStatus)


def test_attempts_to_sign_in_are_limited_by_address(settings, database, redis, key) -> None:
    app = create_app(settings.model_copy(update={"sign_ins_per_min": 2}))
    wrong = [sign_in(app.test_client(), "wrong").status_code for _ in range(2)]
    refused = sign_in(app.test_client(), key)
    assert (wrong, refused.status_code) == ([401, 401], 429)
    assert "Retry-After" in refused.headers
    elsewhere = app.test_client()
    elsewhere.environ_base["REMOTE_ADDR"] = "192.0.2.7"
    assert sign_in(elsewhere, key).status_code == 303
