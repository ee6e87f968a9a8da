"""Following jobs and asking for them: many clients at once, and what a request costs us beyond Flask and gunicorn."""

import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx

import migrations
from shared.db.base import connect
from shared.messaging import progress
from shared.messaging.progress import RedisProgress
from shared.painting.forecasts import quantile
from shared.settings import Settings
from tests.benchmarks.registry import bench
from tests.support.api_server import Served, serving
from tests.support.claims import claim_job
from tests.support.factories import add_image, add_job, add_key
from tests.support.redis import running_redis

_JOBS, _FOLLOWERS, _PROCESSES = 20, 500, 2
#: How long steps are told and heard, in seconds; and each of the rounds in which views are asked for.
_TOLD_S, _ROUND_S, _ROUNDS = 25.0, 3.0, 5
#: Time between two polls beside the followers, in seconds.
_POLL_EVERY_S = 0.05


@bench("live: 500 followers, from write to receipt, p50", "ms", 500.0)
def receipt_p50() -> float:
    """Tell a step of each of 20 jobs at once each second, and note when each of 500 clients has it."""
    return statistics.median(_crowd()[0])


@bench("live: 500 followers, from write to receipt, p99", "ms", 500.0)
def receipt_p99() -> float:
    """The slowest of a hundred of these."""
    return quantile(_crowd()[0], 0.99)


@bench("live: a poll beside 500 followers, p50", "ms", 100.0)
def poll_p50() -> float:
    """Ask for a job's status again and again meanwhile."""
    return statistics.median(_crowd()[1])


@bench("live: a poll beside 500 followers, p99", "ms", 100.0)
def poll_p99() -> float:
    """The slowest of a hundred of these."""
    return quantile(_crowd()[1], 0.99)


@bench("api: an empty Flask view against a status poll", "times", 1 / 0.35)
def poll_cost() -> float:
    """Ask one server for both in turns: how many times as many answers the empty view gives."""
    return _rates()["bare"] / _rates()["poll"]


@bench("api: the same, the poll by If-None-Match", "times", 1 / 0.5)
def unchanged_poll_cost() -> float:
    """The same for a poll that brings the tag of what it has."""
    return _rates()["bare"] / _rates()["unchanged"]


@cache
def _crowd() -> tuple[list[float], list[float]]:
    """Return the delays of all steps that were told to all, and the times of polls, in ms."""
    with _served() as (served, redis_url, job_ids):
        until = time.time() + 20 + _TOLD_S
        given = {"url": served.url, "key": _key(served), "jobs": job_ids, "clients": _FOLLOWERS // _PROCESSES}
        crowd = [_client("follow", **given, until=until) for _ in range(_PROCESSES)]
        for client in crowd:
            assert client.stdout is not None
            assert client.stdout.readline() == "open\n"
        opened_at, stop = time.time(), threading.Event()
        writer = threading.Thread(target=_write, args=(RedisProgress(progress.connect(redis_url)), job_ids, stop))
        writer.start()
        polls = _polls(served, job_ids[0], opened_at + _TOLD_S)
        stop.set()
        writer.join()
        heard = [json.loads(client.communicate(timeout=60)[0]) for client in crowd]
    delays = [delay for one in heard for delay in one["delays"]]
    told = len({moment for one in heard for moment in one["moments"]})
    assert len(delays) == told * _FOLLOWERS // _JOBS, f"{len(delays)} receipts of {told} steps"
    return delays, polls


def _write(told: RedisProgress, job_ids: list[str], stop: threading.Event) -> None:
    number = 0
    while not stop.wait(1.0):
        number += 1
        for job_id in job_ids:
            told.steps(job_id, [{**_step(number), "at": time.time()}], None)


def _polls(served: Served, job_id: str, until: float) -> list[float]:
    times = []
    with served.client() as client:
        while time.time() < until:
            started = time.perf_counter()
            client.get(f"/v1/jobs/{job_id}").raise_for_status()
            times.append(1000 * (time.perf_counter() - started))
            time.sleep(_POLL_EVERY_S)
    return times


@cache
def _rates() -> dict[str, float]:
    """Return answers a second of each view: the median of several rounds, in turns."""
    with _served(command=("-m", "tests.benchmarks.empty_server")) as (served, _, job_ids):
        path = f"/v1/jobs/{job_ids[0]}"
        etag = httpx.get(f"{served.url}{path}", headers=served.headers).headers["ETag"]
        views = {"bare": ("/bare/", ""), "empty": ("/empty", ""), "poll": (path, ""), "unchanged": (path, etag)}
        found: dict[str, list[float]] = {name: [] for name in views}
        for _ in range(_ROUNDS):
            for name, (asked, tag) in views.items():
                until = time.time() + 1 + _ROUND_S
                client = _client("ask", url=served.url, key=_key(served), path=asked, clients=8, until=until, etag=tag)
                found[name].append(json.loads(client.communicate(timeout=60)[0])["rate"])
    rates = {name: statistics.median(values) for name, values in found.items()}
    print("  answers/s: " + ", ".join(f"{name} {rate:.0f}" for name, rate in rates.items()))
    return rates


@contextmanager
def _served(**options: Any) -> Iterator[tuple[Served, str, list[str]]]:
    """Serve a database of running jobs, with a real Redis that has a step of each."""
    with tempfile.TemporaryDirectory(prefix="atelier-bench-") as home, running_redis(Path(home)) as redis_url:
        settings = Settings.load(home=home, redis_url=redis_url)
        migrations.upgrade(settings.database_url)
        database = connect(settings.database_url)
        image_id, told = add_image(database), RedisProgress(progress.connect(redis_url))
        job_ids = [add_job(database, image_id=image_id) for _ in range(_JOBS)]
        for job_id in job_ids:
            with database.writing() as session:
                claim_job(session, job_id, worker="bench", weights={}, lease_s=600)
            told.started(job_id, 1)
            told.steps(job_id, [_step(0)], None)
        with serving(settings, add_key(database), **options) as served:
            yield served, redis_url, job_ids
        database.engine.dispose()


def _step(number: int) -> dict[str, Any]:
    losses = {"total": 1.0, "content": 0.5, "style": 0.4, "tv": 0.1}
    return {"step": number, "total": 1000, "scale": 1, "scales": 1, "losses": losses, "step_ms": 1000.0, "eta_s": 1.0}


def _client(act: str, **given: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.benchmarks.clients", act]
    client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert client.stdin
    client.stdin.write(json.dumps(given))
    client.stdin.close()
    client.stdin = None
    return client


def _key(served: Served) -> str:
    return served.headers["Authorization"].partition(" ")[2]
