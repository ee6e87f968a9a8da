"""The client against a real server that answers from a script: waiting, breaking off, refusing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from api.client import ApiProblem, Client, ClientError, Unreachable
from shared.states import State, Wish
from tests.scripted_server import Answer, ScriptedServer, as_json, closed_url, events, serving

JOB = {"id": "j", "state": "queued", "new_in_a_later_version": 1}
IMAGE = {"id": "sha256:ab", "width": 2, "height": 1}


class Naps(list[float]):
    """A sleep that only remembers."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


@contextmanager
def talking(*answers: Answer, **options: Any) -> Iterator[tuple[ScriptedServer, Client]]:
    """A server that gives these answers, and a client of it."""
    with serving(*answers) as server, Client(server.url, **options) as client:
        yield server, client


@pytest.fixture
def naps() -> Naps:
    return Naps()


def test_it_uploads_files_and_bytes_but_not_ids(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"file")
    with talking(as_json(IMAGE, 201), as_json(IMAGE), as_json(JOB, 202)) as (server, client):
        job = client.submit(tmp_path / "a.jpg", [b"bytes", ("sha256:cd", 0.5)], params={"size": 64}, label="mine")
    assert job.state == State.QUEUED
    assert not job.ended
    assert [asked.body for asked in server.asked[:2]] == [b"file", b"bytes"]
    assert json.loads(server.asked[2].body) == {
        "content": "sha256:ab",
        "styles": [{"image": "sha256:ab", "weight": 1.0}, {"image": "sha256:cd", "weight": 0.5}],
        "params": {"size": 64},
        "label": "mine",
    }


def test_a_deadline_and_a_limit_are_sent_with_the_zone() -> None:
    noon = datetime(2030, 1, 31, 12, tzinfo=timezone(timedelta(hours=2)))
    with talking(as_json(JOB, 202)) as (server, client):
        client.submit("sha256:ab", ["sha256:cd"], start_by=noon, time_limit_s=90)
    sent = json.loads(server.asked[0].body)
    assert (sent["start_by"], sent["time_limit_s"]) == ("2030-01-31T12:00:00.000+02:00", 90)


def test_masks_and_a_beginning_go_with_the_job() -> None:
    with talking(as_json(IMAGE), as_json(IMAGE), as_json(JOB, 202)) as (server, client):
        client.submit("sha256:01", ["sha256:02", "sha256:03"], masks=[None, b"mask"], init_image=b"start")
    assert [asked.body for asked in server.asked[:2]] == [b"mask", b"start"]
    assert json.loads(server.asked[2].body) == {
        "content": "sha256:01",
        "styles": [
            {"image": "sha256:02", "weight": 1.0},
            {"image": "sha256:03", "weight": 1.0, "mask": "sha256:ab"},
        ],
        "init_image": "sha256:ab",
    }


def test_a_mask_without_a_style_is_refused_before_anything_is_sent() -> None:
    with talking() as (server, client), pytest.raises(ValueError, match="more masks"):
        client.submit(b"content", ["sha256:02"], masks=["sha256:03", "sha256:04"])
    assert server.asked == []


def test_a_dry_run_tells_what_a_job_would_take() -> None:
    estimate = {"seconds": 3.5, "peak_bytes": 10, "tile_size": 0, "scales": [{"width": 48, "height": 32}]}
    answer = {"preset": "fast", "params": {"size": 48}, "estimate": estimate}
    with talking(as_json(answer), as_json({**answer, "estimate": None})) as (server, client):
        found = client.dry_run("sha256:ab", ["sha256:cd"], preset="fast")
        assert client.dry_run("sha256:ab", ["sha256:cd"]).estimate is None
    assert server.asked[0].path == "/v1/jobs?dry_run=true"
    assert json.loads(server.asked[0].body)["preset"] == "fast"
    assert found.estimate is not None
    assert (found.estimate.seconds, found.estimate.scales[0].width) == (3.5, 48)


@pytest.mark.parametrize(("wish", "verb"), [(Wish.WORK, "resume"), (Wish.PAUSE, "pause"), ("drain", "drain")])
def test_it_instructs_workers_whatever_their_names(wish: Wish, verb: str) -> None:
    with talking(as_json({"name": "host 1", "state": "idle"})) as (server, client):
        assert client.instruct_worker("host 1", wish).state == "idle"
    assert server.asked[0].path == f"/v1/workers/host%201/{verb}"


def test_it_lists_workers_and_steers_the_queue() -> None:
    listed = as_json({"workers": [{"name": "w1", "state": "idle"}]})
    backlog = as_json({"queued": 2, "running": 1})
    with talking(listed, backlog, backlog, backlog) as (server, client):
        assert [worker.name for worker in client.workers()] == ["w1"]
        assert [found.queued for found in (client.queue(), client.pause_queue(), client.resume_queue())] == [2, 2, 2]
    assert [asked.path for asked in server.asked] == [
        "/v1/workers",
        "/v1/queue",
        "/v1/queue/pause",
        "/v1/queue/resume",
    ]


def test_it_keeps_what_a_newer_server_says() -> None:
    with talking(as_json(JOB)) as (_server, client):
        assert client.job("j").raw() == JOB


def test_it_sends_its_key() -> None:
    with talking(as_json(JOB), key="secret") as (server, client):
        client.job("j")
    assert server.asked[0].headers["authorization"] == "Bearer secret"


def test_it_says_which_picture_was_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(b"words")
    problem = {"code": "unsupported_image", "detail": "This is no image."}
    with talking(as_json(problem, 415)) as (_server, client), pytest.raises(ApiProblem) as raised:
        client.submit(tmp_path / "notes.txt", ["sha256:ab"])
    assert str(raised.value) == f"{tmp_path / 'notes.txt'}: This is no image."
    assert (raised.value.status, raised.value.code) == (415, "unsupported_image")


def test_a_problem_tells_every_mistake() -> None:
    mistakes = [{"pointer": f"/params/{name}", "detail": f"/params/{name}: bad."} for name in ("size", "steps")]
    problem = {"code": "invalid_params", "detail": "The request has 2 mistakes: /params/size: bad.", "errors": mistakes}
    with talking(as_json(problem, 422)) as (_server, client), pytest.raises(ApiProblem) as raised:
        client.submit("sha256:ab", ["sha256:ab"])
    assert str(raised.value).splitlines() == [problem["detail"], "  /params/steps: bad."]
    assert raised.value.errors == mistakes


def test_a_refusal_in_no_form_of_ours_is_still_a_problem() -> None:
    with (
        talking(Answer(502, b"<h1>Bad gateway</h1>")) as (_server, client),
        pytest.raises(ApiProblem, match="answered 502") as raised,
    ):
        client.job("j")
    assert raised.value.code == "http_502"


@pytest.mark.parametrize("status", [429, 503])
def test_it_waits_as_long_as_the_server_asks_and_tries_again(status: int, naps: Naps) -> None:
    with talking(Answer(status, headers={"Retry-After": "7"}), as_json(JOB), sleep=naps) as (_server, client):
        client.job("j")
    assert naps == [7.0]


def test_its_patience_ends(naps: Naps) -> None:
    busy = as_json({"code": "database_unavailable", "detail": "Away."}, 503, **{"Retry-After": "9999"})
    with talking(*[busy] * 4, sleep=naps) as (_server, client), pytest.raises(ApiProblem, match="Away"):
        client.job("j")
    assert naps == [30.0] * 3


def test_a_refusal_without_retry_after_is_final(naps: Naps) -> None:
    with talking(Answer(503), sleep=naps) as (_server, client), pytest.raises(ApiProblem):
        client.job("j")
    assert naps == []


def test_nobody_there_is_unreachable() -> None:
    with Client(closed_url()) as client:
        with pytest.raises(Unreachable, match="No answer from http://127"):
            client.job("j")
        with pytest.raises(Unreachable):
            client.readiness()


@pytest.mark.parametrize("url", ["127.0.0.1:8765", "ftp://host", "http://[::1", ""])
def test_what_is_no_address_is_said_at_once(url: str) -> None:
    with pytest.raises(ClientError, match="is not an address"):
        Client(url)


def test_another_program_at_the_address_is_recognised() -> None:
    with (
        talking(Answer(200, b"<html>")) as (_server, client),
        pytest.raises(ClientError, match="is not an Atelier server"),
    ):
        client.job("j")


def test_a_listing_follows_its_pages_as_far_as_wanted() -> None:
    pages = [
        as_json({"jobs": [JOB, JOB]}, Link='</v1/jobs?cursor=a>; rel="next"'),
        as_json({"jobs": [JOB, JOB]}, Link='</v1/jobs?cursor=b>; rel="next"'),
    ]
    with talking(*pages) as (server, client):
        assert len(list(client.jobs(states=["queued", "running"], limit=3))) == 3
    assert [asked.path for asked in server.asked] == [
        "/v1/jobs?state=queued&state=running&limit=3",
        "/v1/jobs?cursor=a",
    ]


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
    with talking(*[closed] * 20, events("event: end", "data: {}", ""), sleep=naps, stream_attempts=3) as (
        _server,
        client,
    ):
        assert [event.name for event in client.events("j")] == ["end"]


def test_it_gives_up_on_a_stream_that_brings_nothing(naps: Naps) -> None:
    with (
        talking(*[events(cut=True)] * 3, sleep=naps, stream_attempts=3) as (_server, client),
        pytest.raises(Unreachable, match="3 attempts"),
    ):
        list(client.events("j"))
    assert naps == sorted(naps)
    assert len(naps) == 2


def test_a_full_server_is_asked_for_a_stream_again_later(naps: Naps) -> None:
    full = as_json({"code": "too_many_streams", "detail": "Full."}, 503, **{"Retry-After": "5"})
    with talking(full, events("event: end", "data: {}", ""), sleep=naps) as (_server, client):
        assert [event.name for event in client.events("j")] == ["end"]
    assert naps[0] == 5.0


def test_events_of_an_unknown_job_are_a_problem() -> None:
    with (
        talking(as_json({"code": "not_found", "detail": "No job."}, 404)) as (_server, client),
        pytest.raises(ApiProblem, match="No job"),
    ):
        list(client.events("j"))


def test_waiting_ends_with_the_state_that_the_database_knows(naps: Naps) -> None:
    running, done = as_json({**JOB, "state": "running"}), as_json({**JOB, "state": "succeeded"})
    with talking(events("event: end", "data: {}", ""), running, done, sleep=naps) as (_server, client):
        assert client.wait("j").state == State.SUCCEEDED


def test_a_download_is_whole_or_nothing(tmp_path: Path) -> None:
    broken, whole = Answer(body=b"half", cut=True), Answer(body=b"picture")
    with talking(broken, whole) as (server, client):
        with pytest.raises(Unreachable):
            client.download("j", tmp_path / "a.jpg")
        assert list(tmp_path.iterdir()) == []
        client.download("j", tmp_path / "a.jpg")
    assert (tmp_path / "a.jpg").read_bytes() == b"picture"
    assert server.asked[1].path == "/v1/jobs/j/result?format=jpeg"


def test_it_fetches_what_a_job_left() -> None:
    left = (as_json({"total": [2.0, 1.0]}), as_json({"device": {}}))
    with talking(Answer(body=b"frame"), Answer(body=b"film"), *left) as (server, client):
        assert client.preview("j") == b"frame"
        assert client.timelapse("j") == b"film"
        assert client.losses("j")["total"] == [2.0, 1.0]
        assert client.manifest("j") == {"device": {}}
    assert server.asked[1].path == "/v1/jobs/j/timelapse"


def test_a_server_that_is_not_ready_says_what_is_away() -> None:
    body = {"state": "unavailable", "parts": {"database": {"ok": False, "latency_ms": 1}}}
    with talking(as_json(body, 503)) as (_server, client):
        readiness = client.readiness()
    assert (readiness.state, readiness.parts["database"]["ok"]) == ("unavailable", False)
