"""The system around the engine: how fast it starts, and what reporting costs a run."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import migrations
from shared.params import resolve
from tests.benchmarks.registry import bench
from tests.running_redis import running_redis
from tests.waiting import wait_until
from worker.heartbeat import Heartbeat
from worker.reporter import Reporter

#: Kept between benchmarks, so that the patch weights are built once.
_WEIGHTS = tempfile.TemporaryDirectory(prefix="atelier-weights-")


@bench("api: python -c 'import api.app'", "s", 1.5)
def import_of_the_api() -> float:
    """Import it in five fresh interpreters, of which none may have loaded TensorFlow; the median."""
    code = "import sys, api.app; sys.exit('tensorflow' in sys.modules)"
    return statistics.median(_timed([sys.executable, "-c", code]) for _ in range(5))


@bench("worker: from start to ready, weights cached", "s", 20.0)
def worker_from_start_to_ready() -> float:
    """Start a real worker and wait for the line that says so."""
    from worker.engine import weights

    weights.load("patch", Path(_WEIGHTS.name))
    with tempfile.TemporaryDirectory(prefix="atelier-bench-") as home, running_redis(Path(home)) as redis_url:
        log = Path(home) / "worker.log"
        env = {
            **os.environ,
            "ATELIER_HOME": home,
            "ATELIER_REDIS_URL": redis_url,
            "ATELIER_WEIGHTS": "patch",
            "ATELIER_WEIGHTS_DIR": _WEIGHTS.name,
        }
        migrations.upgrade(f"sqlite:///{home}/atelier.db")
        started = time.perf_counter()
        with log.open("wb") as output:
            worker = subprocess.Popen([sys.executable, "-m", "worker", "paint"], stdout=output, stderr=output, env=env)
        try:
            wait_until(lambda: b"worker_ready" in log.read_bytes(), "the worker is ready", timeout_s=120)
            return time.perf_counter() - started
        finally:
            worker.terminate()
            worker.wait(30)


@bench("worker: progress, previews and cancel checks, 256 px", "ratio", 0.02)
def cost_of_reporting() -> float:
    """Paint 256 px with everything reported to a real Redis and database; the share of time spent on telling."""
    from worker.engine import weights
    from worker.engine.steps import Style
    from worker.engine.stylize import stylize

    network = weights.load("patch", Path(_WEIGHTS.name))
    from tests.factories import picture

    chunks = stylize(
        picture(256, 192), [Style(picture(256, 192, seed=1))], resolve("classic", {"size": 256, "steps": 60}), network
    )
    with tempfile.TemporaryDirectory(prefix="atelier-bench-") as home, running_redis(Path(home)) as redis_url:
        next(chunks)  # compiles
        with _reporting(Path(home), redis_url) as reporter:
            telling, started = 0.0, time.perf_counter()
            for chunk in chunks:
                before = time.perf_counter()
                reporter.chunk_done(chunk)
                telling += time.perf_counter() - before
            return telling / (time.perf_counter() - started)


@contextmanager
def _reporting(home: Path, redis_url: str) -> Iterator[Reporter]:
    from shared import progress
    from shared.db import jobs
    from shared.db.base import connect
    from shared.settings import Settings
    from tests.factories import add_job

    settings = Settings.load(home=home, redis_url=redis_url)
    migrations.upgrade(settings.database_url)
    database = connect(settings.database_url)
    job_id = add_job(database)
    claimed_at = time.monotonic()
    with database.writing() as session:
        claim = jobs.claim(session, job_id, worker="bench", weights={}, lease_s=settings.lease_s)
    assert claim is not None
    told = progress.RedisProgress(progress.connect(redis_url))
    lease = {"lease_s": settings.lease_s, "claimed_at": claimed_at, "leaving": lambda: False}
    with Heartbeat(claim, database, **lease) as heartbeat:
        yield Reporter(claim, heartbeat, told, settings)


def _timed(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - started
