"""Following and waiting for a job: by events through lost connections, and by polls where there is no stream."""

import pytest

from api.client import ApiProblem, Unreachable, WaitTimeout
from shared.states import TERMINAL, State
from tests.support.scripted_server import as_json, events
from tests.unit.api.client.scripted_client import Naps, talking

JOB = {"id": "j", "state": "queued"}
DONE = {**JOB, "state": "succeeded"}
END = events("event: end", "data: {}", "")
FULL = as_json({"code": "too_many_streams", "detail": "Full."}, 429, **{"Retry-After": "5"})


@pytest.fixture
def naps() -> Naps:
    return Naps()


def test_it_resumes_a_broken_stream_without_losing_or_repeating_an_event(naps: Naps) -> None:
    first = events(
        "retry: 1000", "", "id: 1-0", "event: step", 'data: {"step":1}', "", "id: 2-0", "event: st", cut=True
    )
    second = events(": alive", "id: 2-0", "event: step", 'data: {"step":2}', "", "event: end", "data: {}", "")
    with talking(first, second, sleep=naps) as (server, client):
        seen = list(client.events("j"))
    assert [(event.id, event.name, event.data) for event in seen] == [
        ("1-0", "step", {"step": 1}),
        ("2-0", "step", {"step": 2}),
        ("2-0", "end", {}),
    ]
    assert "last-event-id" not in server.asked[0].headers
    assert server.asked[1].headers["last-event-id"] == "1-0"


def test_a_stream_that_the_server_closes_is_opened_again(naps: Naps) -> None:
    closed = events(": alive", "")
    with talking(*[closed] * 20, END, sleep=naps) as (_server, client):
        assert [event.name for event in client.events("j")] == ["end"]


def test_it_gives_up_on_a_stream_that_brings_nothing(naps: Naps) -> None:
    with (
        talking(*[events(cut=True)] * 6, sleep=naps) as (_server, client),
        pytest.raises(Unreachable, match="6 attempts"),
    ):
        list(client.events("j"))
    assert naps == sorted(naps)
    assert len(naps) == 5


def test_a_full_server_is_asked_for_a_stream_again_later(naps: Naps) -> None:
    with talking(FULL, END, sleep=naps) as (_server, client):
        assert [event.name for event in client.events("j")] == ["end"]
    assert naps[0] == 5.0


def test_events_of_an_unknown_job_are_a_problem() -> None:
    with (
        talking(as_json({"code": "not_found", "detail": "No job."}, 404)) as (_server, client),
        pytest.raises(ApiProblem, match="No job"),
    ):
        list(client.events("j"))


def test_waiting_ends_with_the_state_that_the_database_knows(naps: Naps) -> None:
    running, done = as_json({**JOB, "state": "running"}), as_json(DONE)
    with talking(END, running, done, sleep=naps) as (server, client):
        assert client.wait("j").state == State.SUCCEEDED
    assert [asked.path for asked in server.asked[1:]] == ["/v1/jobs/j?wait=30.000"] * 2


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_waiting_ends_with_every_state_that_a_job_never_leaves(naps: Naps, state: State) -> None:
    gone_at = "2030-01-31T12:00:00.000Z"
    with talking(END, as_json({**JOB, "state": state, "expires_at": gone_at}), sleep=naps) as (_server, client):
        job = client.wait("j")
    assert (job.state, job.ended, job.expires_at) == (state, True, gone_at)


def test_where_there_is_no_stream_it_polls_and_tries_again(naps: Naps) -> None:
    heard: list[str] = []
    with talking(*[FULL] * 6, as_json(JOB), END, as_json(DONE), sleep=naps, clock=naps.clock) as (server, client):
        assert client.wait("j", on_event=lambda event: heard.append(event.name)).ended
    assert heard == ["end"]
    assert server.asked[6].path == "/v1/jobs/j?wait=30.000"
    assert server.asked[7].path == "/v1/jobs/j/events"


def test_after_a_poll_the_events_go_on_where_they_were(naps: Naps) -> None:
    first = events("id: 1-0", "event: step", 'data: {"step":1}', "", cut=True)
    with talking(first, *[FULL] * 6, as_json(JOB), END, as_json(DONE), sleep=naps) as (server, client):
        client.wait("j")
    assert server.asked[8].headers["last-event-id"] == "1-0"


def test_a_wait_that_takes_too_long_says_so(naps: Naps) -> None:
    running = as_json({**JOB, "state": "running"})
    with (
        talking(*[running] * 9, sleep=naps, clock=naps.clock) as (server, client),
        pytest.raises(WaitTimeout, match=r"still running after 2 s"),
    ):
        client.wait("j", 2)
    assert sum(naps) == 2
    assert [asked.path.split("?")[1] for asked in server.asked[:2]] == ["wait=2.000", "wait=1.500"]


def test_a_long_wait_leaves_its_stream_before_time_is_up(naps: Naps) -> None:
    class Late(Naps):
        """A clock that has gone on by 20 s whenever it is read."""

        def clock(self) -> float:
            self.append(20.0)
            return sum(self)

    late = Late()
    alive = events(": alive", "", ": alive", "", cut=True)
    with talking(alive, as_json(DONE), sleep=naps, clock=late.clock) as (server, client):
        assert client.wait("j", 100).ended
    assert [asked.path.split("?")[0] for asked in server.asked] == ["/v1/jobs/j/events", "/v1/jobs/j"]


def test_waiting_for_a_job_that_is_unknown_is_a_problem() -> None:
    with (
        talking(as_json({"code": "not_found", "detail": "No job."}, 404)) as (_server, client),
        pytest.raises(ApiProblem, match="No job"),
    ):
        client.wait("j")
