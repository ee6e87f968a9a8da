"""When a job starts and ends, why it waits, and the metrics that tell whether the promises were kept."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import update

from shared import clock
from shared.db import workers
from shared.db.jobs import claims, transitions
from shared.db.models import Job
from shared.painting.costs import Capacity
from tests.support.claims import claim, step
from tests.support.factories import add_job, add_key
from tests.support.flask_clients import client_with


@pytest.fixture
def worker(database) -> None:
    """A worker that has told what it can do."""
    with database.writing() as session:
        workers.record_heartbeat(session, "w1", {"capacity": Capacity(memory_bytes=2**34).model_dump()})


def test_without_a_worker_nobody_promises_anything(client, job_id) -> None:
    job = client.get(f"/v1/jobs/{job_id}").json
    assert (job["eta"], job["queue"]["eta_s"], job["queue"]["waiting_for"]) == (None, None, "no_worker")


def test_a_waiting_job_says_when_it_is_expected_to_start_and_to_end(client, worker, image_id) -> None:
    body = {"content": image_id, "style": image_id, "params": {"size": 64}}
    first, second = (client.post("/v1/jobs", json=body).json["id"] for _ in range(2))
    ends = [client.get(f"/v1/jobs/{job_id}").json for job_id in (first, second)]
    assert [job["queue"]["position"] for job in ends] == [1, 2]
    assert ends[0]["queue"]["eta_s"] == 0.0
    assert ends[1]["queue"]["eta_s"] >= ends[0]["eta"]["p50_s"] > 0
    for job in ends:
        assert job["queue"]["waiting_for"] == "turn"
        assert job["eta"]["p90_s"] > job["eta"]["p50_s"]
        left = datetime.fromisoformat(job["eta"]["ends_at"]) - clock.now()
        assert left <= timedelta(seconds=job["eta"]["p50_s"] + 0.05)  # which is rounded to a tenth


def test_a_running_job_goes_by_its_engine_and_an_ended_one_promises_nothing(client, database, job_id) -> None:
    held = claim(database, job_id)
    with database.writing() as session:
        claims.renew(session, held, lease_s=60, progress={**step(3), "eta_s": 42.0})
    running = client.get(f"/v1/jobs/{job_id}")
    assert (running.json["eta"]["p50_s"], running.json["eta"]["p90_s"]) == (42.0, 63.0)
    assert running.headers["Retry-After"] == "30"
    with database.writing() as session:
        transitions.stop(session, held, result=None)
    assert client.get(f"/v1/jobs/{job_id}").json["eta"] is None


def test_a_forecast_alone_is_no_news(client, worker, image_id) -> None:
    body = {"content": image_id, "style": image_id, "params": {"size": 64}}
    job_id = client.post("/v1/jobs", json=body).json["id"]
    first = client.get(f"/v1/jobs/{job_id}")
    again = client.get(f"/v1/jobs/{job_id}", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304


def test_a_job_that_no_workers_memory_holds_says_so(client, database, worker, image_id) -> None:
    job_id = client.post("/v1/jobs", json={"content": image_id, "style": image_id, "params": {"size": 2048}}).json["id"]
    with database.writing() as session:
        workers.record_heartbeat(session, "w1", {"capacity": Capacity(memory_bytes=2**20).model_dump()})
    assert client.get(f"/v1/jobs/{job_id}").json["queue"]["waiting_for"] == "no_worker_with_memory"
    client.post("/v1/queue/pause")
    assert client.get(f"/v1/jobs/{job_id}").json["queue"]["waiting_for"] == "paused"


def test_metrics_tell_the_queue_the_ends_and_whether_promises_were_kept(app, client, database, worker) -> None:
    add_job(database)
    for late in (True, False):
        held = claim(database, add_job(database))
        with database.writing() as session:
            transitions.succeed(session, held, result={"key": "x"})
            promise = clock.now() + timedelta(seconds=-60 if late else 60)
            values = {"eta_p50_at": promise, "eta_p90_at": clock.now() + timedelta(seconds=90)}
            session.execute(update(Job).where(Job.id == held.job_id).values(**values))
    client.get("/v1/queue")
    told = client.get("/metrics")
    assert told.content_type.startswith("text/plain")
    lines = set(told.text.splitlines())
    assert {
        "atelier_jobs_queued 1.0",
        'atelier_jobs_ended_last_hour{code="",state="succeeded"} 2.0',
        'atelier_eta_kept_ratio{promise="p50"} 0.5',
        'atelier_eta_kept_ratio{promise="p90"} 1.0',
        "atelier_eta_judged_total 2.0",
        'atelier_workers{state="idle"} 1.0',
        'atelier_request_seconds_count{method="GET",route="/v1/queue",status="2xx"} 1.0',
    } <= lines
    assert client_with(app, add_key(database, "viewer")).get("/metrics").status_code == 200
