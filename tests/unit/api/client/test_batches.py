"""The results of a batch, followed to its end."""

import json

import pytest

from api.client import ClientError, Unreachable
from tests.support.scripted_server import Answer, as_json
from tests.unit.api.client.scripted_client import Naps, talking

RUNNING = {"id": "b", "state": "running", "ended_at": None}
FINISHED = {"id": "b", "state": "finished", "ended_at": "2026-01-02T03:04:05Z"}


def feed(*numbers: int, silent: int = 0, cut: bool = False) -> Answer:
    """Some results, one a line, after as many empty lines."""
    lines = [{"number": each, "key": f"k{each}", "job_id": f"j{each}", "state": "succeeded"} for each in numbers]
    return Answer(body=b"\n" * silent + "".join(json.dumps(line) + "\n" for line in lines).encode(), cut=cut)


def test_results_that_come_between_the_end_of_a_feed_and_of_its_batch_are_read() -> None:
    with talking(feed(1, 2), as_json(FINISHED), feed(3), sleep=Naps()) as (server, client):
        assert [result.number for result in client.batch_results("b", follow=True)] == [1, 2, 3]
    assert "after=2" in server.asked[2].path


def test_a_feed_that_ends_before_its_batch_is_opened_again() -> None:
    answers = feed(1), as_json(RUNNING), feed(2), as_json(FINISHED), feed()
    with talking(*answers, sleep=Naps()) as (_server, client):
        assert [result.number for result in client.batch_results("b", follow=True)] == [1, 2]


def test_a_feed_that_breaks_is_resumed_after_the_last_number() -> None:
    answers = feed(1, 2, silent=1, cut=True), feed(3, silent=1), as_json(FINISHED), feed()
    with talking(*answers, sleep=Naps()) as (server, client):
        assert [result.number for result in client.batch_results("b", follow=True)] == [1, 2, 3]
    assert "after=2" in server.asked[1].path


def test_a_feed_that_was_alive_for_long_may_break() -> None:
    class Slow(Naps):
        """A clock that goes on by a minute whenever it is read."""

        def clock(self) -> float:
            self.append(60.0)
            return sum(self)

    slow = Slow()
    answers = *[feed(silent=2, cut=True)] * 3, feed(1), as_json(FINISHED), feed()
    with talking(*answers, sleep=Naps(), clock=slow.clock, retry_for_s=90.0) as (_server, client):
        assert [result.number for result in client.batch_results("b", follow=True)] == [1]


def test_a_feed_that_always_breaks_at_its_first_line_is_given_up() -> None:
    naps = Naps()
    with (
        talking(*[feed(silent=1, cut=True)] * 40, sleep=naps, clock=naps.clock, retry_for_s=30.0) as (_server, client),
        pytest.raises(Unreachable),
    ):
        list(client.batch_results("b", follow=True))


def test_what_is_no_feed_is_told() -> None:
    with (
        talking(Answer(body=b"<html>\n"), sleep=Naps()) as (_server, client),
        pytest.raises(ClientError, match="not an"),
    ):
        list(client.batch_results("b"))


def test_without_following_one_feed_is_read() -> None:
    with talking(feed(1), sleep=Naps()) as (server, client):
        assert [result.number for result in client.batch_results("b")] == [1]
    assert len(server.asked) == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\udcff"])
def test_a_value_that_no_request_can_carry_is_an_error_of_the_client(value: object) -> None:
    with talking() as (_server, client), pytest.raises(ClientError, match="cannot be sent"):
        client.open_batch(params={"style_weight": value})
