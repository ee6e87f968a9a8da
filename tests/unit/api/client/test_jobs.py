"""The client against a real server that answers from a script: what it sends, and what it makes of the answer."""

import json
import os
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from api.client import ApiProblem, Client, ClientError, DesiredState, Unreachable
from shared.states import State
from tests.support.scripted_server import Answer, as_json, closed_url, serving
from tests.unit.api.client.scripted_client import talking

JOB = {"id": "j", "state": "queued", "new_in_a_later_version": 1}
IMAGE = {"id": "sha256:ab", "width": 2, "height": 1}


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
        "name": "a.jpg",
    }


@pytest.mark.parametrize("name", ["Häuser.jpg", os.fsdecode(b"\xff.jpg")])
def test_a_job_has_the_name_of_its_file_unless_it_has_another(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"file")
    with talking(*[as_json(IMAGE), as_json(JOB, 202)] * 2) as (server, client):
        client.submit(tmp_path / name, ["sha256:cd"])
        client.submit(tmp_path / name, ["sha256:cd"], name="holiday.jpg")
    names = [json.loads(asked.body)["name"] for asked in server.asked[1::2]]
    assert names == [name.replace("\udcff", "\ufffd"), "holiday.jpg"]


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


@pytest.mark.parametrize(("desired", "verb"), [("work", "resume"), ("pause", "pause"), ("drain", "drain")])
def test_it_instructs_workers_whatever_their_names(desired: DesiredState, verb: str) -> None:
    with talking(as_json({"name": "host 1", "state": "idle"})) as (server, client):
        assert client.set_worker_state("host 1", desired).state == "idle"
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
        talking(Answer(500, b"<h1>Oh</h1>", {"X-Request-ID": "r1"})) as (_server, client),
        pytest.raises(ApiProblem, match="answered 500") as raised,
    ):
        client.job("j")
    assert (raised.value.code, raised.value.request_id) == ("http_500", "r1")


@pytest.mark.parametrize("variable", ["http_proxy", "all_proxy"])
def test_a_server_on_this_machine_is_asked_without_a_proxy(monkeypatch, variable) -> None:
    monkeypatch.setenv(variable, closed_url())
    with serving(as_json({"id": "j", "state": "queued"})) as server, Client(server.url, retry_for_s=0) as client:
        assert client.job("j").state == "queued"


def test_nobody_there_is_unreachable() -> None:
    with Client(closed_url(), retry_for_s=0) as client:
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


def test_a_job_tells_when_it_ends_and_whom_it_tells() -> None:
    eta = {"p50_s": 10.0, "p90_s": 20.0, "ends_at": "2030-01-31T12:00:00.000Z"}
    told = {**JOB, "eta": eta, "webhook": "https://a.example/", "retention_s": 60.0, "retry_of": "i", "owner": "ann"}
    with talking(as_json(told), as_json(JOB, 202)) as (server, client):
        job = client.job("j")
        client.submit("sha256:ab", ["sha256:cd"], webhook="https://a.example/", retention_s=60)
    assert job.eta is not None
    assert (job.eta.p50_s, job.eta.p90_s, job.eta.ends_at) == (10.0, 20.0, eta["ends_at"])
    assert (job.webhook, job.retention_s, job.retry_of, job.owner) == ("https://a.example/", 60.0, "i", "ann")
    sent = json.loads(server.asked[1].body)
    assert (sent["webhook"], sent["retention_s"]) == ("https://a.example/", 60)


def test_jobs_are_filtered_by_the_server() -> None:
    after = datetime(2030, 1, 31, 12, tzinfo=UTC)
    with talking(as_json({"jobs": []})) as (server, client):
        assert list(client.jobs(states=["failed"], label="l", owner="ann", created_after=after)) == []
    assert parse_qs(urlsplit(server.asked[0].path).query) == {
        "state": ["failed"],
        "label": ["l"],
        "owner": ["ann"],
        "created_after": ["2030-01-31T12:00:00.000+00:00"],
        "limit": ["100"],
    }


def test_a_retry_sends_what_it_changes_alone() -> None:
    with talking(as_json(JOB, 202), as_json(JOB, 202)) as (server, client):
        client.retry("j")
        client.retry("j", time_limit_s=600, webhook=None, start_by=datetime(2030, 1, 31, 12, tzinfo=UTC))
    assert server.asked[0].body == b""
    assert json.loads(server.asked[1].body) == {
        "time_limit_s": 600,
        "webhook": None,
        "start_by": "2030-01-31T12:00:00.000+00:00",
    }


def test_a_job_can_have_an_id_of_ones_own_be_tried_again_and_be_deleted() -> None:
    with talking(as_json(JOB, 202), as_json({**JOB, "retry_of": "j"}, 202), Answer(204)) as (server, client):
        assert client.put("own", "sha256:ab", ["sha256:cd"], label="l").id == "j"
        assert client.retry("j").retry_of == "j"
        client.delete("j")
    assert [(asked.method, asked.path) for asked in server.asked] == [
        ("PUT", "/v1/jobs/own"),
        ("POST", "/v1/jobs/j/retry"),
        ("DELETE", "/v1/jobs/j"),
    ]
    assert json.loads(server.asked[0].body)["label"] == "l"


def test_a_key_that_cannot_be_sent_is_said_at_once() -> None:
    with pytest.raises(ClientError, match="API key"):
        Client("http://127.0.0.1", "schlüssel")


def test_it_reads_the_figures_and_the_contract() -> None:
    with talking(Answer(body=b"atelier_jobs 1\n"), as_json({"openapi": "3.1.0"})) as (_server, client):
        assert client.metrics() == "atelier_jobs 1\n"
        assert client.openapi()["openapi"] == "3.1.0"


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


@pytest.mark.parametrize("page", [{}, {"jobs": 1}, {"jobs": [{"state": "queued"}]}])
def test_a_listing_of_another_program_is_recognised(page: dict[str, object]) -> None:
    with (
        talking(as_json(page)) as (_server, client),
        pytest.raises(ClientError, match="is not an Atelier server"),
    ):
        list(client.jobs())


def test_a_strength_is_saved_with_a_request_that_may_be_repeated() -> None:
    done = as_json({**JOB, "state": "succeeded", "result": {"strength": 0.25}})
    with talking(as_json({"code": "database_unavailable"}, 503), done, sleep=lambda _: None) as (server, client):
        job = client.set_strength("j", 0.25)
    assert job.result == {"strength": 0.25}
    assert [(asked.method, asked.path) for asked in server.asked] == [("PUT", "/v1/jobs/j/strength")] * 2
    assert json.loads(server.asked[1].body) == {"strength": 0.25}
