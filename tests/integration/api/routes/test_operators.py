"""What operators see of the workers and the queue, and how they steer them."""

from datetime import timedelta

import pytest
from sqlalchemy import update

from shared import clock
from shared.db import workers
from shared.db.base import Database
from shared.db.models import Job, Worker
from shared.messaging.broker import RANK_KEYS
from shared.states import DesiredState
from tests.support.claims import claim_job
from tests.support.factories import WEIGHTS, add_image, add_job, add_worker
from tests.support.redis import messages_in
from tests.support.waiting import wait_until


def claim(database: Database, worker: str) -> str:
    job_id = add_job(database)
    with database.writing() as session:
        assert claim_job(session, job_id, worker=worker, weights=WEIGHTS, lease_s=20)
    return job_id


def silence(database: Database, name: str) -> None:
    """Make a worker one that was last heard of a minute ago."""
    with database.writing() as session:
        moment = clock.now() - timedelta(minutes=1)
        session.execute(update(Worker).where(Worker.name == name).values(seen_at=moment))


def test_each_worker_says_what_it_does_and_with_what(client, database) -> None:
    for name, wish in (("idler", DesiredState.WORK), ("drained", DesiredState.DRAIN), ("paused", DesiredState.PAUSE)):
        add_worker(database, name, wish)
    add_worker(database, "busy")
    job_id = claim(database, "busy")
    with database.writing() as session:
        workers.set_desired_state(session, "busy", DesiredState.PAUSE)
    add_worker(database, "lost")
    silence(database, "lost")
    found = {worker["name"]: worker for worker in client.get("/v1/workers").json["workers"]}
    assert list(found) == ["busy", "drained", "idler", "lost", "paused"]
    assert {name: worker["state"] for name, worker in found.items()} == {
        "busy": "working",
        "drained": "drained",
        "idler": "idle",
        "lost": "gone",
        "paused": "paused",
    }
    assert (found["busy"]["job_id"], found["busy"]["wish"]) == (job_id, "pause")
    assert found["idler"]["job_id"] is None
    assert (found["idler"]["weights"], found["idler"]["device"]) == (WEIGHTS, {"kind": "CPU"})
    assert found["idler"]["started_at"].endswith("Z")
    assert found["idler"]["seen_at"].endswith("Z")


def test_a_worker_shows_no_warm_style_that_is_not_here_or_no_longer(client, database) -> None:
    here, gone = add_image(database, b"here"), add_image(database, b"gone", gone_at=clock.now())
    add_worker(database, "w1", about={"warm_styles": ["sha256:" + "f" * 64, gone, here]})

    (worker,) = client.get("/v1/workers").json["workers"]

    assert worker["warm_styles"] == [here]


def test_a_worker_that_is_not_ready_yet_has_no_weights(client, database) -> None:
    add_worker(database, "w1", about=None)
    (worker,) = client.get("/v1/workers").json["workers"]
    assert (worker["weights"], worker["device"]) == (None, None)


@pytest.mark.parametrize(
    ("verb", "state", "wish"), [("drain", "drained", "drain"), ("pause", "paused", "pause"), ("resume", "idle", "work")]
)
def test_a_worker_is_instructed_by_name(client, database, verb, state, wish) -> None:
    add_worker(database, "host 1")
    for _ in range(2):  # wishing twice is wishing once
        answer = client.post(f"/v1/workers/host%201/{verb}")
        assert (answer.status_code, answer.json["state"], answer.json["wish"]) == (200, state, wish)
    with database.reading() as session:
        assert [(worker.name, worker.desired_state) for worker in workers.list_workers(session)] == [("host 1", wish)]


@pytest.mark.parametrize("verb", ["drain", "pause", "resume"])
def test_a_worker_that_is_not_known_is_not_found(client, verb) -> None:
    answer = client.post(f"/v1/workers/nobody/{verb}")
    assert (answer.status_code, answer.json["code"]) == (404, "not_found")
    assert "nobody" in answer.json["detail"]


def test_an_empty_queue_has_no_oldest_job(client) -> None:
    assert client.get("/v1/queue").json == {
        "queued": 0,
        "running": 0,
        "sent": 0,
        "oldest_waiting_s": None,
        "paused_at": None,
        "held_for": None,
        "workers": 0,
    }


def test_the_queue_counts_what_waits_was_sent_and_runs(client, database) -> None:
    add_worker(database, "w1")
    add_worker(database, "lost")
    silence(database, "lost")
    claim(database, "w1")
    oldest, sent = add_job(database), add_job(database)
    with database.writing() as session:
        session.execute(update(Job).where(Job.id == oldest).values(created_at=clock.now() - timedelta(seconds=90)))
        session.execute(update(Job).where(Job.id == sent).values(dispatched_at=clock.now()))
        workers.hold_queue(session, "storage_full")
    queue = client.get("/v1/queue").json
    assert (queue["queued"], queue["running"], queue["sent"], queue["workers"]) == (2, 1, 1, 1)
    assert 90 <= queue["oldest_waiting_s"] < 150
    assert queue["held_for"] == "storage_full"


def test_a_paused_queue_sends_nothing_and_a_resumed_one_at_once(app, client, database, redis, job_id) -> None:
    dispatcher = app.extensions["atelier"].dispatcher
    wait_until(lambda: messages_in(redis) == 1, "the first job is sent")
    redis.delete(*RANK_KEYS)
    paused = client.post("/v1/queue/pause").json
    assert paused["paused_at"] is not None
    assert client.post("/v1/queue/pause").json["paused_at"] == paused["paused_at"]
    assert dispatcher.run() == 0
    assert client.post("/v1/queue/resume").json["paused_at"] is None
    wait_until(lambda: messages_in(redis) == 1, "the job is sent again, without maintenance")


def test_a_held_queue_is_not_released_by_resuming(client, database) -> None:
    with database.writing() as session:
        workers.hold_queue(session, "storage_full")
    assert client.post("/v1/queue/resume").json["held_for"] == "storage_full"
