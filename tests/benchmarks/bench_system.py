"""The system around the engine: how fast it starts, and what reporting costs a run."""

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
from shared import ids
from shared.db.base import Database, connect
from shared.db.jobs import queries
from shared.imaging import codec
from shared.messaging import progress
from shared.messaging.broker import Broker
from shared.messaging.progress import RedisProgress
from shared.painting.params import resolve
from shared.settings import Settings
from shared.storage.store import image_key, open_store
from tests.benchmarks.registry import bench
from tests.support import trained_weights
from tests.support.claims import claim_job
from tests.support.factories import add_image, add_job, picture
from tests.support.redis import running_redis
from tests.support.waiting import wait_until
from worker.jobs.heartbeat import Heartbeat
from worker.jobs.reporter import Reporter


@bench("api: python -c 'import api.app'", "s", 1.5)
def import_of_the_api() -> float:
    """Import it in five fresh interpreters, of which none may have loaded TensorFlow; the median."""
    code = "import sys, api.app; sys.exit('tensorflow' in sys.modules)"
    return statistics.median(_timed([sys.executable, "-c", code]) for _ in range(5))


@bench("worker: from start to ready, weights cached", "s", 20.0)
def worker_from_start_to_ready() -> float:
    """Start a real worker and wait for the line that says so."""
    with _worker() as (_, ready_s):
        return ready_s


@bench("worker: warm, second job, claim to first step", "s", 0.5)
def warm_worker_from_claim_to_first_step() -> float:
    """Have a real worker paint at 512 px by `balanced`, and then a second content of that shape in that style.

    The first job is canceled after its first scale, by when all that the second one begins with is compiled. Both
    moments are told by the system itself: the claim by the job's row, the step by its entry in Redis.
    """
    with _worker() as (settings, _):
        told = RedisProgress(progress.connect(settings.redis_url))
        database = connect(settings.database_url)
        first, second = _submit(settings, database, 1), _submit(settings, database, 2)
        wait_until(lambda: _has_reached(told, first, scale=2), "the first scale is done", timeout_s=300)
        told.signal_cancel(first)
        wait_until(lambda: _has_reached(told, second, scale=1), "the second job begins", timeout_s=60)
        told.signal_cancel(second)
        with database.reading() as session:
            claimed_at = queries.get_job(session, second).started_at
        assert claimed_at is not None
        return _began_at(told, second) - claimed_at.timestamp()


@bench("worker: progress, previews and cancel checks, 256 px", "ratio", 0.02)
def cost_of_reporting() -> float:
    """Paint 256 px with everything reported to a real Redis and database; the share of time spent on telling."""
    from worker.engine.stylize import stylize
    from worker.engine.types import Style, Subject

    network = trained_weights.network()
    params = resolve("classic", {"size": 256, "steps": 60})
    painted = stylize([Subject(picture(256, 192))], [Style(picture(256, 192, seed=1))], params, network)
    with tempfile.TemporaryDirectory(prefix="atelier-bench-") as home, running_redis(Path(home)) as redis_url:
        next(painted)  # compiles
        with _reporting(Path(home), redis_url) as reporter:
            telling, started = 0.0, time.perf_counter()
            for chunks in painted:
                before = time.perf_counter()
                reporter.report(chunks[0])
                telling += time.perf_counter() - before
            return telling / (time.perf_counter() - started)


@contextmanager
def _worker() -> Iterator[tuple[Settings, float]]:
    """Start a worker with the real engine, Redis and a database; tell after how many seconds it is ready."""
    with tempfile.TemporaryDirectory(prefix="atelier-bench-") as home, running_redis(Path(home)) as redis_url:
        given = {
            "home": home,
            "redis_url": redis_url,
            "weights": trained_weights.NAME,
            "weights_dir": str(trained_weights.weights_dir()),
        }
        env = os.environ | {f"ATELIER_{name.upper()}": value for name, value in given.items()}
        settings, log = Settings.load(**given), Path(home) / "worker.log"
        migrations.upgrade(settings.database_url)
        started = time.perf_counter()
        with log.open("wb") as output:
            worker = subprocess.Popen([sys.executable, "-m", "worker", "paint"], stdout=output, stderr=output, env=env)
        try:
            wait_until(lambda: b"worker_ready" in log.read_bytes(), "the worker is ready", timeout_s=120)
            yield settings, time.perf_counter() - started
        finally:
            worker.terminate()
            worker.wait(30)


def _submit(settings: Settings, database: Database, seed: int) -> str:
    """Queue a job with a content of its own, and send it; return its id."""
    content, style = (codec.encode(picture(512, 384, seed=number), format="png") for number in (seed, 0))
    for data in (content, style):
        open_store(settings.storage_url).put(image_key(add_image(database, data)), data)
    job_id = add_job(
        database,
        image_id=ids.image_id(content),
        preset="balanced",
        params=resolve("balanced").model_dump(),
        styles=[{"image": ids.image_id(style), "weight": 1.0}],
    )
    Broker(settings).send_paint([job_id])
    return job_id


def _has_reached(told: RedisProgress, job_id: str, *, scale: int) -> bool:
    steps = told.all_steps(job_id)
    return bool(steps) and steps[-1]["scale"] >= scale


def _began_at(told: RedisProgress, job_id: str) -> float:
    """Return when a job's first step was told, in seconds since 1970."""
    entry = next(event.id for event in told.events(job_id) if event.name == "step")
    return int(entry.partition("-")[0]) / 1000


@contextmanager
def _reporting(home: Path, redis_url: str) -> Iterator[Reporter]:
    settings = Settings.load(home=home, redis_url=redis_url)
    migrations.upgrade(settings.database_url)
    database = connect(settings.database_url)
    job_id = add_job(database)
    claimed_at = time.monotonic()
    with database.writing() as session:
        claim = claim_job(session, job_id, worker="bench", weights={}, lease_s=settings.lease_s)
    assert claim is not None
    told = RedisProgress(progress.connect(redis_url))
    lease = {"lease_s": settings.lease_s, "claimed_at": claimed_at, "leaving": lambda: False}
    with Heartbeat(claim, database, **lease) as heartbeat:
        yield Reporter(claim, heartbeat, told, settings)


def _timed(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - started
