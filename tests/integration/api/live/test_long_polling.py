"""Polling that costs little: nothing is sent twice, and who asks may wait for news."""

import threading

import pytest

from shared.db.jobs import transitions
from tests.support.claims import claim


def test_what_the_client_has_is_not_sent_again(client, job_id) -> None:
    first = client.get(f"/v1/jobs/{job_id}")
    again = client.get(f"/v1/jobs/{job_id}", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", first.headers["ETag"])
    assert int(again.headers["Retry-After"]) >= 1
    client.post(f"/v1/jobs/{job_id}/cancel")
    news = client.get(f"/v1/jobs/{job_id}", headers={"If-None-Match": first.headers["ETag"]})
    assert (news.status_code, news.json["state"]) == (200, "canceled")
    assert "Retry-After" not in news.headers


def test_a_wait_ends_with_the_next_change_of_state(app, client, redis, database, job_id, monkeypatch) -> None:
    hub = app.extensions["atelier"].hub
    wait_change = hub.wait_change
    queued_was_seen = threading.Event()
    answers = []

    def waiting(*args: object, **kwargs: object) -> bool:
        queued_was_seen.set()
        return wait_change(*args, **kwargs)

    monkeypatch.setattr(hub, "wait_change", waiting)
    poll = threading.Thread(target=lambda: answers.append(client.get(f"/v1/jobs/{job_id}?wait=30")))
    poll.start()
    assert queued_was_seen.wait(20)
    claim(database, job_id)
    poll.join(20)
    assert [answer.json["state"] for answer in answers] == ["running"]


def test_an_ended_job_is_shown_at_once(client, job_id) -> None:
    client.post(f"/v1/jobs/{job_id}/cancel")
    assert client.get(f"/v1/jobs/{job_id}?wait=60").json["state"] == "canceled"


def test_who_submits_may_prefer_to_wait_for_the_end(app, client, redis, database, image_id) -> None:
    answers = []
    body = {"content": image_id, "style": image_id, "params": {"size": 32, "steps": 8}}

    def submit() -> None:
        answers.append(client.post("/v1/jobs", json=body, headers={"Prefer": "respond-async, wait=30"}))

    waiting = threading.Thread(target=submit)
    waiting.start()
    while not (found := app.test_client().get("/v1/jobs", headers=_key(client)).json["jobs"]):
        pass
    held = claim(database, found[0]["id"])
    with database.writing() as session:
        transitions.stop(session, held, result=None)
    waiting.join(20)
    assert (answers[0].status_code, answers[0].json["state"]) == (202, "canceled")
    assert answers[0].headers["Preference-Applied"] == "wait=30"


def _key(client) -> dict[str, str]:
    return {"Authorization": client.environ_base["HTTP_AUTHORIZATION"]}


@pytest.mark.parametrize("wait", ["61", "-1", "soon", "nan", "inf"])
def test_a_wait_that_is_none_is_refused(client, job_id, wait) -> None:
    answer = client.get(f"/v1/jobs/{job_id}?wait={wait}")
    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, "wait")


def test_without_a_free_thread_nobody_waits(app, client, job_id) -> None:
    streams = app.extensions["atelier"].streams
    while streams.take("local"):
        pass
    assert client.get(f"/v1/jobs/{job_id}?wait=60").json["state"] == "queued"
