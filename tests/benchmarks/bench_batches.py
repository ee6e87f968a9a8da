"""Batches of a hundred thousand: taken in, steered, drained; on PostgreSQL with the null engine.

Set `ATELIER_BENCH_ITEMS` to a smaller number for a quick look; the bounds are those of a hundred thousand.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
from sqlalchemy import func, select

import migrations
from api.local.stack import Stack
from shared.db.base import Database, connect
from shared.db.models import Job
from shared.imaging import codec
from shared.messaging import progress
from shared.settings import Settings
from shared.states import State
from tests.benchmarks.registry import bench
from tests.support.factories import picture
from tests.support.postgres import PostgresServer
from tests.support.waiting import wait_until

_MANY = int(os.environ.get("ATELIER_BENCH_ITEMS", "100000"))
_PARAMS = {"size": 32, "steps": 2}
_LINES = {"Content-Type": "application/x-ndjson"}
#: Over how many items a rate is taken.
_RATED = 2_000

_found: dict[str, float] = {}


@bench("batches: 10,000 items by JSON Lines", "s", 3.0)
def take_in_10k() -> float:
    """Add ten thousand items of one known picture in one call."""
    return _measured()["10k"]


@bench("batches: 100,000 items by JSON Lines", "s", 30.0)
def take_in_100k() -> float:
    """The same with a hundred thousand."""
    return _measured()["100k"]


@bench("batches: growth of the API meanwhile", "MB", 100.0)
def growth() -> float:
    """Resident memory of the API's processes, after and before."""
    return _measured()["growth"]


@bench("batches: pause of 100,000 items until nothing is begun", "s", 2.0)
def pause() -> float:
    """From the request until the last item has begun."""
    return _measured()["pause"]


@bench("batches: resume until an item is begun", "s", 2.0)
def resume() -> float:
    """From the request until the next item has begun."""
    return _measured()["resume"]


@bench("batches: one job behind 100,000 items, until it runs", "s", 2.0)
def one_job() -> float:
    """From its submission until it is claimed."""
    return _measured()["job"]


@bench("batches: Redis with 100,000 waiting", "MB", 20.0)
def redis_memory() -> float:
    """What Redis says that it uses."""
    return _measured()["redis"]


@bench("batches: time of a job in the drain, one worker", "ms", 1000 / 150)
def drain() -> float:
    """How long one null job takes of those drained, with a hundred thousand waiting."""
    return 1000 / _measured()["rate_many"]


@bench("batches: rate with 1,000 waiting to that with 100,000", "ratio", 1.2)
def same_rate() -> float:
    """How much faster the last thousand go than the first."""
    return _measured()["rate_few"] / _measured()["rate_many"]


@bench("batches: cancel of 100,000 items until all are canceled", "s", 60.0)
def cancel() -> float:
    """Until none waits any more; nothing begins from the first moment on."""
    return _measured()["cancel"]


def _measured() -> dict[str, float]:
    if not _found:
        with _stack() as (http, database, stack, settings):
            _found.update(_measure(http, database, stack, settings))
            print("  " + ", ".join(f"{name} {value:.2f}" for name, value in _found.items()))
    return _found


def _measure(http: httpx.Client, database: Database, stack: Stack, settings: Settings) -> dict[str, float]:
    image, found = _image(http), {}
    before = _memory(stack)
    few = _open(http, image)
    found["10k"] = _timed(lambda: _add(http, few, image, _MANY // 10))
    http.post(f"/v1/batches/{few}/cancel").raise_for_status()
    many = _open(http, image)
    found["100k"] = _timed(lambda: _add(http, many, image, _MANY))
    found["growth"] = max(0.0, (_memory(stack) - before) / 1e6)
    http.post(f"/v1/batches/{many}/start").raise_for_status()
    found["rate_many"] = _rate(database, many)
    found["redis"] = progress.connect(settings.redis_url).info("memory")["used_memory"] / 1e6
    found["job"] = _one_job(http, image)
    asked = time.time()
    http.post(f"/v1/batches/{many}/pause").raise_for_status()
    time.sleep(4)  # what is begun later than two seconds after the request is seen
    found["pause"] = max(0.0, _last_begun(database, many) - asked)
    asked, begun = time.time(), _last_begun(database, many)
    http.post(f"/v1/batches/{many}/resume").raise_for_status()
    wait_until(lambda: _last_begun(database, many) > begun, "an item begins", every_s=0.05)
    found["resume"] = time.time() - asked
    found["cancel"] = _timed(lambda: _cancel(http, many))
    small = _open(http, image)
    _add(http, small, image, _RATED * 2)
    http.post(f"/v1/batches/{small}/start").raise_for_status()
    found["rate_few"] = _rate(database, small)
    return found


def _rate(database: Database, batch_id: str) -> float:
    """Return how many items a second end, once the first have."""
    wait_until(lambda: _ended(database, batch_id) >= 200, "items end", timeout_s=120, every_s=0.1)
    first, started = _ended(database, batch_id), time.perf_counter()
    wait_until(lambda: _ended(database, batch_id) >= first + _RATED, "items end", timeout_s=300, every_s=0.1)
    return (_ended(database, batch_id) - first) / (time.perf_counter() - started)


def _ended(database: Database, batch_id: str) -> int:
    with database.reading() as session:
        done = select(func.count()).select_from(Job).where(Job.batch_id == batch_id, Job.state == State.SUCCEEDED)
        return session.scalar(done) or 0


def _last_begun(database: Database, batch_id: str) -> float:
    with database.reading() as session:
        moment = session.scalar(select(func.max(Job.started_at)).where(Job.batch_id == batch_id))
    return moment.timestamp() if moment else 0.0


def _one_job(http: httpx.Client, image: str) -> float:
    asked = time.perf_counter()
    body = {"content": image, "style": image, "params": _PARAMS, "preset": "fast"}
    path = http.post("/v1/jobs", json=body).raise_for_status().headers["Location"]
    wait_until(lambda: http.get(path).json()["started_at"], "it runs", every_s=0.01, timeout_s=60)
    return time.perf_counter() - asked


def _cancel(http: httpx.Client, batch_id: str) -> None:
    http.post(f"/v1/batches/{batch_id}/cancel").raise_for_status()
    wait_until(lambda: http.get(f"/v1/batches/{batch_id}").json()["ended_at"], "it has ended", timeout_s=300)


def _open(http: httpx.Client, image: str) -> str:
    body = {"style": image, "preset": "fast", "params": _PARAMS, "reuse": False}
    return str(http.post("/v1/batches", json=body).raise_for_status().json()["id"])


def _add(http: httpx.Client, batch_id: str, image: str, count: int) -> None:
    def lines() -> Iterator[bytes]:
        for first in range(0, count, 1_000):  # in blocks, as curl sends a file
            block = (
                {"key": f"{number:06}.png", "content": image} for number in range(first, min(first + 1_000, count))
            )
            yield b"".join(json.dumps(item).encode() + b"\n" for item in block)

    answer = http.post(f"/v1/batches/{batch_id}/items", content=lines(), headers=_LINES).raise_for_status().json()
    assert answer["added"] == count, answer


def _image(http: httpx.Client) -> str:
    data = codec.encode(picture(48, 32), format="png")
    headers = {"Content-Type": "image/png"}
    return str(http.post("/v1/images", content=data, headers=headers).raise_for_status().json()["id"])


def _memory(stack: Stack) -> int:
    return sum(
        process.memory_info().rss
        for process in psutil.Process().children(recursive=True)
        if "gunicorn" in " ".join(process.cmdline()) or "api.wsgi" in " ".join(process.cmdline())
    )


def _timed(act: Callable[[], Any]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


@contextmanager
def _stack() -> Iterator[tuple[httpx.Client, Database, Stack, Settings]]:
    with tempfile.TemporaryDirectory() as folder, PostgresServer() as server:
        url = server.create_database("batches")
        migrations.upgrade(url)
        database = connect(url)
        settings = Settings.load(home=Path(folder), database_url=url, port=0, engine="null", null_step_s=0.0)
        headers = {}
        with Stack(settings) as stack:
            headers["Authorization"] = f"Bearer {stack.key}"
            with httpx.Client(base_url=stack.url, headers=headers, timeout=300) as http:
                yield http, database, stack, settings
        database.engine.dispose()
