"""Folders as their users bring them: a zip of small pictures, and real paintings as a batch, one by one and in a loop.

`ATELIER_BENCH_PICTURES` sets how many are painted; the bounds are those of 64.
"""

import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from api.client import Client
from api.local.stack import Stack
from shared.imaging import codec
from shared.settings import Settings
from tests.benchmarks.registry import bench
from tests.support import trained_weights
from tests.support.factories import picture
from tests.support.waiting import wait_until

_PICTURES = int(os.environ.get("ATELIER_BENCH_PICTURES", "64"))
_ZIPPED = 2_000
_PARAMS = {"size": 192}

_found: dict[str, float] = {}


@bench("batches: a zip of 2,000 small JPEGs", "s", 60.0)
def zip_of_jpegs() -> float:
    """Stream it in over HTTP, to SQLite."""
    with _stack(engine="null") as (_, client), tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "pictures.zip"
        with zipfile.ZipFile(archive, "w") as file:
            for seed in range(_ZIPPED):
                file.writestr(f"{seed:04}.jpg", codec.encode(picture(160, 120, seed=seed), format="jpeg"))
        style = client.upload(codec.encode(picture(), format="png")).id
        batch = client.open_batch(styles=[{"image": style}])
        before, started = _memory(), time.perf_counter()
        added = client.add_archive(batch.id, archive)
        _found["zip memory"] = max(0.0, (_memory() - before) / 1e6)
        assert (added.added, added.rejected) == (_ZIPPED, 0)
        return time.perf_counter() - started


@bench("batches: growth of the API over that zip", "MB", 100.0)
def growth_over_the_zip() -> float:
    """Resident memory of the API's processes, after and before."""
    if "zip memory" not in _found:
        zip_of_jpegs()
    return _found["zip memory"]


@bench("batches: 64 pictures as a batch to one by one", "ratio", 0.85)
def batch_to_single() -> float:
    """Paint pictures of 192 px by `fast` with the real engine, as a batch and as jobs, on one warm worker."""
    _paint()
    return _found["batch"] / _found["single"]


@bench("batches: 64 pictures as a batch to a loop over the engine", "ratio", 0.5)
def batch_to_loop() -> float:
    """The same against `python -m worker.engine` for each; a few of those stand for all."""
    _paint()
    return _found["batch"] / _found["loop"]


def _paint() -> None:
    if "batch" in _found:
        return
    with (
        _stack(weights=trained_weights.NAME, weights_dir=trained_weights.weights_dir()) as (stack, client),
        tempfile.TemporaryDirectory() as folder,
    ):
        style = codec.encode(picture(192, 144, seed=999), format="png")
        style_id = client.upload(style).id
        contents = [codec.encode(picture(192, 144, seed=seed), format="png") for seed in range(_PICTURES)]
        ids = [client.upload(content).id for content in contents]
        _batch(client, style_id, ids[:8])  # the worker is warm, alone and in groups
        client.wait(client.submit(ids[0], [style_id], preset="fast", params=_PARAMS).id)
        started = time.perf_counter()
        for image in ids:
            client.wait(client.submit(image, [style_id], preset="fast", params=_PARAMS).id)
        _found["single"] = time.perf_counter() - started
        started = time.perf_counter()
        _batch(client, style_id, ids)
        _found["batch"] = time.perf_counter() - started
        _found["loop"] = _loop(Path(folder), stack.settings.weights_dir, style, contents[:4]) / 4 * _PICTURES
        print("  " + ", ".join(f"{name} {value:.1f} s" for name, value in _found.items() if "memory" not in name))


def _batch(client: Client, style_id: str, ids: list[str]) -> None:
    batch = client.open_batch(styles=[{"image": style_id}], preset="fast", params=_PARAMS, reuse=False)
    client.add_items(batch.id, ({"key": str(number), "content": image} for number, image in enumerate(ids)))
    client.control_batch(batch.id, "start")
    wait_until(lambda: client.batch(batch.id).ended_at, "the batch has ended", timeout_s=1800, every_s=0.1)
    assert client.batch(batch.id).counts.succeeded == len(ids)


def _loop(folder: Path, weights_dir: Path, style: bytes, contents: list[bytes]) -> float:
    (folder / "style.png").write_bytes(style)
    for number, content in enumerate(contents):
        (folder / f"{number}.png").write_bytes(content)
    started = time.perf_counter()
    for number in range(len(contents)):
        command = [sys.executable, "-m", "worker.engine", folder / f"{number}.png", folder / "style.png"]
        more = ["-o", folder / f"out-{number}.png", "--preset", "fast", "--size", "192"]
        with_weights = ["--vgg19", trained_weights.NAME, "--weights-dir", weights_dir]
        subprocess.run([*command, *more, *with_weights], check=True, capture_output=True)
    return time.perf_counter() - started


def _memory() -> int:
    children = psutil.Process().children(recursive=True)
    return sum(each.memory_info().rss for each in children if "api.wsgi" in " ".join(each.cmdline()))


@contextmanager
def _stack(**given: object) -> Iterator[tuple[Stack, Client]]:
    with (
        tempfile.TemporaryDirectory() as folder,
        Stack(Settings.load(home=Path(folder), port=0, **given)) as stack,
        Client(stack.url, stack.key) as client,
    ):
        yield stack, client
