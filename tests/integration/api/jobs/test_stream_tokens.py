"""Tokens for event streams: one job, one minute, and no longer than their key."""

import pytest
from itsdangerous import TimestampSigner

from shared.db.access import keys
from shared.states import Role
from tests.support.factories import add_job, add_key
from tests.support.flask_clients import client_with


@pytest.fixture
def token(client, job_id) -> str:
    return client.post(f"/v1/jobs/{job_id}/events-token").json["token"]


def opened(app, job_id: str, token: str, path: str = "events"):
    with app.test_client().get(f"/v1/jobs/{job_id}/{path}", query_string={"token": token}, buffered=False) as answer:
        return answer


def test_a_token_opens_the_events_of_its_job_and_nothing_else(app, client, job_id, database, token) -> None:
    made = client.post(f"/v1/jobs/{job_id}/events-token")
    assert made.status_code == 201
    assert made.json["url"] == f"http://localhost/v1/jobs/{job_id}/events?token={made.json['token']}"
    assert made.headers["Cache-Control"] == "no-store"
    answer = opened(app, job_id, token)
    assert (answer.status_code, answer.content_type) == (200, "text/event-stream")
    other = add_job(database)
    refused = app.test_client().get(f"/v1/jobs/{other}/events?token={token}")
    assert (refused.status_code, refused.json["code"]) == (401, "unauthorized")
    for path in ("losses", "preview", "result", ""):
        assert opened(app, job_id, token, path).status_code in (401, 404), path
    assert app.test_client().post(f"/v1/jobs/{job_id}/events-token?token={token}").status_code == 401


@pytest.mark.parametrize("forged", ["", "x", "a.b.c", "WyJhIiwiYiJd.a.b", "W10.aaaa.bbbb", "e30.aaaa.bbbb", "é"])
def test_what_nobody_signed_opens_nothing(app, job_id, forged) -> None:
    assert opened(app, job_id, forged).status_code == 401


def test_a_token_that_was_changed_opens_nothing(app, job_id, token) -> None:
    payload, at, signature = token.split(".")
    for changed in (f"{payload}.{at}.{signature[::-1]}", f"{payload}.{at[::-1]}.{signature}", f"{payload}.{at}"):
        assert opened(app, job_id, changed).status_code == 401


def test_a_token_opens_for_a_minute(app, job_id, token, monkeypatch) -> None:
    now = TimestampSigner("").get_timestamp()
    for later, status in ((59, 200), (62, 401)):
        monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda _, at=now + later: at)
        assert opened(app, job_id, token).status_code == status


def test_a_token_is_worth_no_more_than_its_key(app, client, database, job_id) -> None:
    stranger = client_with(app, add_key(database, Role.CLIENT, "stranger"))
    assert stranger.post(f"/v1/jobs/{job_id}/events-token").status_code == 404
    viewer = add_key(database, Role.VIEWER)
    token = client_with(app, viewer).post(f"/v1/jobs/{job_id}/events-token").json["token"]
    assert opened(app, job_id, token).status_code == 200
    with database.writing() as session:
        keys.revoke(session, viewer.split("_")[1])
    assert opened(app, job_id, token).status_code == 401


def test_no_log_has_a_token(app, job_id, token, capsys) -> None:
    opened(app, job_id, token)
    logged = capsys.readouterr()
    assert f"path=/v1/jobs/{job_id}/events " in logged.out
    assert token not in logged.out + logged.err
