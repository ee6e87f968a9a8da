"""Polls are answered from no more than they show, and an ETag stands for one body."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event

from api.live.snapshot import JobSnapshot
from api.live.ttl_cache import TtlCache
from api.schemas.jobs import QueueView
from shared import clock
from shared.db.jobs import claims, queries, transitions
from shared.messaging.progress import RedisProgress
from shared.painting.forecasts import Forecast
from tests.support.claims import claim, step
from tests.support.factories import add_key
from tests.support.flask_clients import client_with
from tests.support.waiting import wait_until

_NOW = clock.now()
#: A value of each kind that no job of these tests has.
_OTHER: dict[str, Any] = {
    "state": "succeeded",
    "styles": [{"image": f"sha256:{'7' * 64}", "weight": 2.0}],
    "weights": {"name": "other"},
    "result": {"width": 9, "height": 9, "bytes": 9, "format": "png", "partial": False},
    "params": {"other": 1},
    "annotations": {"other": 1},
    **dict.fromkeys(("priority", "attempt", "time_limit_s", "retention_s"), 77),
    "error_retryable": True,
    "depth": 16,
    "keep_metadata": True,
    **{name: _NOW + timedelta(days=1) for name in queries.SHOWN_COLUMNS if name.endswith(("_at", "_by"))},
}


@pytest.fixture
def row(database, job_id) -> dict[str, Any]:
    """What is shown of a failed job, by attribute."""
    with database.autocommit() as connection:
        found = dict(queries.get_job_row(connection, job_id)._mapping)
    return found | {"error_code": "diverged", "error_message": "It did.", "error_retryable": False}


@pytest.mark.parametrize("name", queries.SHOWN_COLUMNS)
def test_no_two_views_that_differ_have_one_tag(row, name) -> None:
    first, second = (
        JobSnapshot(SimpleNamespace(**row)),
        JobSnapshot(SimpleNamespace(**row | {name: _OTHER.get(name, "other")})),
    )
    if name == "progress":
        first, second = (JobSnapshot(SimpleNamespace(**row), step(number)) for number in (1, 2))
    if first.view() != second.view():
        assert first.etag != second.etag
    else:
        assert name in ("sort_id", "predicted_s", "weights_wanted")


def test_a_place_in_line_is_news_and_a_forecast_is_none(row) -> None:
    job = SimpleNamespace(**row)
    first, moved, later = (
        JobSnapshot(job, None, QueueView(position=position, eta_s=eta_s, waiting_for="turn"), Forecast(eta_s, eta_s))
        for position, eta_s in ((2, 9.0), (1, 9.0), (2, 8.0))
    )
    assert first.etag != moved.etag
    assert first.etag == later.etag


def test_a_poll_of_a_job_that_runs_or_has_ended_asks_the_database_once(app, client, database, job_id) -> None:
    held = claim(database, job_id)
    with database.writing() as session:
        claims.renew(session, held, lease_s=60, progress=step(3))
    client.get(f"/v1/jobs/{job_id}")  # learns who calls, and from other jobs
    with _statements(app.extensions["atelier"].database.engine) as made:
        running = client.get(f"/v1/jobs/{job_id}")
        with database.writing() as session:
            transitions.stop(session, held, result=None)
        ended = client.get(f"/v1/jobs/{job_id}")
    assert [answer.json["state"] for answer in (running, ended)] == ["running", "canceled"]
    assert (running.headers["ETag"].startswith("W/"), ended.headers["ETag"].startswith("W/")) == (True, False)
    assert len(made) == 2
    assert all(statement.startswith("SELECT") for statement in made)


def test_a_running_job_is_seen_again_without_the_database_until_redis_has_news(app, client, redis, database, job_id):
    worker, held = RedisProgress(redis), claim(database, job_id)
    worker.started(job_id, 1)
    worker.steps(job_id, [step(3)], None)
    _keep_snapshots(app, seconds=3600)
    first = client.get(f"/v1/jobs/{job_id}")
    with _statements(app.extensions["atelier"].database.engine) as made:
        again = client.get(f"/v1/jobs/{job_id}")
        unchanged = client.get(f"/v1/jobs/{job_id}", headers={"If-None-Match": first.headers["ETag"]})
        worker.steps(job_id, [step(4)], None)
        later = client.get(f"/v1/jobs/{job_id}")
    assert made == []
    assert (again.json, unchanged.status_code) == (first.json, 304)
    assert (later.json["progress"]["step"], later.headers["ETag"] == first.headers["ETag"]) == (4, False)
    with database.writing() as session:
        transitions.stop(session, held, result=None)
    worker.ended([job_id], "canceled")
    assert client.get(f"/v1/jobs/{job_id}").json["state"] == "canceled"


def test_what_was_seen_for_one_owner_is_not_shown_to_another(app, client, redis, database, job_id) -> None:
    claim(database, job_id)
    RedisProgress(redis).steps(job_id, [step(3)], None)
    stranger = client_with(app, add_key(database, "client", "bob"))
    _keep_snapshots(app, seconds=3600)
    assert client.get(f"/v1/jobs/{job_id}").status_code == 200
    assert stranger.get(f"/v1/jobs/{job_id}").status_code == 404


def test_what_was_seen_is_read_anew_after_its_moment(app, client, redis, database, job_id) -> None:
    held = claim(database, job_id)
    RedisProgress(redis).steps(job_id, [step(3)], None)
    _keep_snapshots(app, seconds=0.05)
    assert client.get(f"/v1/jobs/{job_id}").json["state"] == "running"
    with database.writing() as session:
        transitions.stop(session, held, result=None)  # by a worker that dies before it can tell Redis
    wait_until(lambda: client.get(f"/v1/jobs/{job_id}").json["state"] == "canceled", "the database is asked")


def _keep_snapshots(app: Flask, *, seconds: float) -> None:
    app.extensions["atelier"] = replace(app.extensions["atelier"], snapshots=TtlCache(seconds))


@contextmanager
def _statements(engine) -> Iterator[list[str]]:
    """Gather what this thread asks; that of dispatch, which a submission nudged, asks too."""
    made: list[str] = []
    asking = threading.get_ident()

    def keep(_connection, _cursor, statement, *_) -> None:
        if threading.get_ident() == asking:
            made.append(statement)

    event.listen(engine, "before_cursor_execute", keep)
    yield made
    event.remove(engine, "before_cursor_execute", keep)
