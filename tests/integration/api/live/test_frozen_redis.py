"""The API beside a Redis that is frozen: it answers nothing, and does not even refuse."""

import os
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from flask.testing import FlaskClient

from api.app import create_app
from shared.db.jobs import claims
from shared.messaging import progress
from shared.messaging.progress import RedisProgress
from tests.support.claims import claim_job, step
from tests.support.factories import add_job
from tests.support.flask_clients import client_with
from tests.support.redis import redis_process
from tests.support.waiting import wait_until

Answer = TypeVar("Answer")


@pytest.fixture
def server(tmp_path) -> Iterator[subprocess.Popen]:
    """A Redis of the test's own, which it may stop."""
    with redis_process(tmp_path) as process:
        yield process


@pytest.fixture
def client(server, settings, database, key, tmp_path: Path) -> FlaskClient:
    return client_with(create_app(settings.model_copy(update={"redis_url": f"unix://{tmp_path}/redis.sock"})), key)


@pytest.fixture
def running(client, database, tmp_path: Path) -> str:
    """A running job: at step 3 as the database has it, at step 5 as Redis has it."""
    job_id = add_job(database)
    with database.writing() as session:
        held = claim_job(session, job_id, worker="w1", weights={}, lease_s=60)
        claims.renew(session, held, lease_s=60, progress=step(3))
    RedisProgress(progress.connect(f"unix://{tmp_path}/redis.sock")).steps(job_id, [step(5)], None)
    return job_id


def timed(act: Callable[[], Answer]) -> tuple[Answer, float]:
    started = time.perf_counter()
    return act(), time.perf_counter() - started


def test_only_the_first_view_waits_for_a_frozen_redis(client, server, running) -> None:
    def shown() -> int:
        return client.get(f"/v1/jobs/{running}").json["progress"]["step"]

    assert shown() == 5
    os.kill(server.pid, signal.SIGSTOP)
    first, first_s = timed(shown)
    later = [timed(shown) for _ in range(3)]
    assert [first, *(step for step, _ in later)] == [3, 3, 3, 3]
    assert first_s < 1.0
    assert statistics.median(seconds for _, seconds in later) < 0.1  # on a busy machine one may take longer
    os.kill(server.pid, signal.SIGCONT)
    wait_until(lambda: shown() == 5, "the live step is shown again")


def test_while_redis_is_frozen_jobs_are_accepted_and_canceled_without_delay(client, server, running) -> None:
    image_id = client.get(f"/v1/jobs/{running}").json["content"]
    os.kill(server.pid, signal.SIGSTOP)
    answer, submit_s = timed(lambda: client.post("/v1/jobs", json={"content": image_id, "style": image_id}))
    assert answer.status_code == 202
    canceled, cancel_s = timed(lambda: client.post(f"/v1/jobs/{running}/cancel"))
    assert canceled.status_code == 202
    ready, ready_s = timed(lambda: client.get("/readyz"))
    assert (ready.status_code, ready.json["state"]) == (200, "degraded")
    assert max(submit_s, cancel_s, ready_s) < 1.0
