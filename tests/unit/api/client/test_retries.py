"""Requests that are made again: which, how soon, for how long, and under which key."""

from collections.abc import Callable

import pytest

from api.client import ApiProblem, Client, Unreachable
from api.client.retries import RetryBudget
from tests.support.scripted_server import Answer, as_json, closed_url
from tests.unit.api.client.scripted_client import Naps, talking

JOB = as_json({"id": "j", "state": "queued"}, 202)
MADE = as_json({"id": "m", "state": "queued", "name": "ann", "owner": "ann", "role": "client"}, 202)
IMAGE = as_json({"id": "sha256:ab", "width": 2, "height": 1}, 201)
LOST = Answer(cut=True)
BAD_GATEWAY = Answer(502, b"<h1>Bad gateway</h1>")


@pytest.fixture
def naps() -> Naps:
    return Naps()


@pytest.mark.parametrize("status", [429, 503])
def test_it_waits_as_long_as_the_server_asks_and_tries_again(status: int, naps: Naps) -> None:
    with talking(Answer(status, headers={"Retry-After": "7"}), JOB, sleep=naps) as (_server, client):
        client.job("j")
    assert naps == [7.0]


def test_a_pause_longer_than_its_patience_is_not_begun(naps: Naps) -> None:
    busy = as_json({"code": "quota_exceeded", "detail": "Enough."}, 429, **{"Retry-After": "9999"})
    with talking(busy, sleep=naps) as (_server, client), pytest.raises(ApiProblem, match="Enough") as raised:
        client.job("j")
    assert (naps, raised.value.retry_after) == ([], 9999.0)


def test_its_patience_ends(naps: Naps) -> None:
    with talking(*[BAD_GATEWAY] * 30, sleep=naps) as (_server, client), pytest.raises(ApiProblem, match="502"):
        client.job("j")
    assert 40 < sum(naps) <= 60
    assert 5 < len(naps) < 30


def test_pauses_grow_and_are_never_quite_the_same() -> None:
    naps = Naps()
    budget = RetryBudget(60.0, sleep=naps, clock=naps.clock)
    while budget.wait():
        pass
    assert all(0.125 * 2**n <= pause <= min(0.25 * 2**n, 15) for n, pause in enumerate(naps[:6]))
    assert len(set(naps)) == len(naps)
    budget.reset()
    assert budget.wait()


@pytest.mark.parametrize("trouble", [LOST, BAD_GATEWAY, Answer(503), Answer(504), Answer(429)])
@pytest.mark.parametrize(
    "make",
    [
        lambda client: client.submit("sha256:ab", ["sha256:cd"]),
        lambda client: client.retry("j"),
        lambda client: client.put("own", "sha256:ab", ["sha256:cd"]),
        lambda client: client.job("j"),
        lambda client: client.test_webhook("https://example.org/"),
        lambda client: client.redeliver("d"),
        lambda client: client.create_key("ann"),
    ],
)
def test_what_is_safe_to_repeat_is_repeated(make: Callable[[Client], object], trouble: Answer, naps: Naps) -> None:
    with talking(trouble, trouble, MADE, sleep=naps) as (server, client):
        make(client)
    first, *others = server.asked
    assert others == [first] * 2


def test_each_submission_has_a_key_of_its_own_and_all_its_tries_have_that(naps: Naps) -> None:
    with talking(LOST, JOB, JOB, sleep=naps) as (server, client):
        for _ in range(2):
            client.submit("sha256:ab", ["sha256:cd"])
    keys = [asked.headers["idempotency-key"] for asked in server.asked]
    assert keys[0] == keys[1] != keys[2]


def test_a_key_of_the_callers_own_is_kept() -> None:
    with talking(JOB) as (server, client):
        client.submit("sha256:ab", ["sha256:cd"], idempotency_key="mine")
    assert server.asked[0].headers["idempotency-key"] == "mine"


def test_an_upload_is_repeated_whole(naps: Naps) -> None:
    with talking(LOST, IMAGE, sleep=naps) as (server, client):
        client.upload(b"bytes")
    assert [asked.body for asked in server.asked] == [b"bytes"] * 2


@pytest.mark.parametrize(("trouble", "error"), [(LOST, Unreachable), (BAD_GATEWAY, ApiProblem)])
def test_what_is_not_safe_to_repeat_is_made_once(trouble: Answer, error: type[Exception], naps: Naps) -> None:
    with talking(trouble, JOB, sleep=naps) as (_server, client), pytest.raises(error):
        client.cancel("j")
    assert naps == []


def test_a_refusal_that_will_not_change_is_final(naps: Naps) -> None:
    with talking(as_json({"code": "unauthorized"}, 401), sleep=naps) as (_server, client), pytest.raises(ApiProblem):
        client.job("j")
    assert naps == []


def test_what_a_lost_try_deleted_is_deleted(naps: Naps) -> None:
    gone = as_json({"code": "not_found", "detail": "No job."}, 404)
    with talking(LOST, gone, gone, sleep=naps) as (_server, client):
        client.delete("j")
        with pytest.raises(ApiProblem, match="No job"):
            client.delete("j")


def test_a_server_that_is_away_is_asked_again(naps: Naps) -> None:
    with Client(closed_url(), sleep=naps) as client, pytest.raises(Unreachable):
        client.job("j")
    assert sum(naps) > 40


def test_an_address_that_never_answered_may_be_given_up_at_once(naps: Naps) -> None:
    with Client(closed_url(), first_retry_for_s=0, sleep=naps) as client, pytest.raises(Unreachable):
        client.job("j")
    assert naps == []
    with talking(JOB, LOST, JOB, first_retry_for_s=0, sleep=naps) as (_server, client):
        client.job("j")
        client.job("j")
    assert len(naps) == 1
