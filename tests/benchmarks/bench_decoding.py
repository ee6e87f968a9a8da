"""Uploads that are decoded in processes of their own: what that costs, and what hostile pictures cost others."""

import io
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import cache
from itertools import count
from pathlib import Path

import httpx
import numpy as np
import psutil
from PIL import Image

import migrations
from api.app import create_app
from shared import logs
from shared.db.base import connect
from shared.imaging import codec
from shared.imaging.codec import ImageInfo
from shared.painting.forecasts import quantile
from shared.settings import Settings
from tests.benchmarks.registry import bench
from tests.hostile import images
from tests.support.api_server import Served, serving
from tests.support.factories import add_key
from tests.support.flask_clients import client_with
from tests.support.redis import running_redis

#: Uploads compared, of each kind.
_ROUNDS = 30
_KILLS, _PAUSE_S = 200, 0.2

_found: dict[str, float] = {}
_numbers = count()


@bench("uploads: photograph of 2 MB, relative to in-process", "times", 1.2)
def cost_of_a_child() -> float:
    """Upload a photograph to an API, and to one that decodes it itself, by turns; the ratio of the medians."""
    data = _photograph(4000, 3000)
    logs.configure("text", "WARNING")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as opened:
        posts = [_poster(Path(folder, name), opened, in_process=name == "in") for name in ("out", "in")]
        times: list[list[float]] = [[], []]
        for _ in range(_ROUNDS):
            for number, post in enumerate(posts):
                times[number].append(_seconds(lambda post=post: post(_another(data))))
        medians = [statistics.median(each) for each in times]
        print(f"  {len(data) / 1e6:.1f} MB: {medians[0] * 1000:.0f} ms, in-process {medians[1] * 1000:.0f} ms")
        return medians[0] / medians[1]


@bench("uploads: p95 of one owner while children are killed", "times", 2.0)
def killed_p95() -> float:
    """Kill a decoding child 200 times while two owners upload; one owner's p95, relative to nothing being killed."""
    return _killed()["p95"]


@bench("uploads: lost or answered 5xx meanwhile", "", 0.0)
def killed_lost() -> float:
    """The uploads of both owners that were not answered with 201."""
    return _killed()["lost"]


@bench("uploads: p95 beside JPEGs of 2,000 scans", "times", 2.0)
def beside_scans() -> float:
    """Upload while another owner sends progressive JPEGs of 2,000 scans; the p95, relative to nobody else uploading."""
    small, scans = _photograph(1200, 900), many_scans(4000, 3000, 2000)
    with _served() as (served, first, second):
        alone = _times_of(served, second, small, until=_after(_ROUNDS))
        with _uploading(served, first, scans, _Tally()):
            beside = _times_of(served, second, small, until=_after(_ROUNDS))
    return quantile(beside, 0.95) / quantile(alone, 0.95)


@bench("uploads: bombs, the longest until its answer", "s", 2.0)
def bombs_time() -> float:
    """Upload pictures that claim or hide far more than they seem to; the longest that one took."""
    return _bombs()["longest"]


@bench("uploads: bombs, growth of the API's memory", "MB", 100.0)
def bombs_memory() -> float:
    """The peak of the API's process meanwhile, above what it held before."""
    return _bombs()["growth"]


def many_scans(width: int, height: int, scans: int) -> bytes:
    """Make a small progressive JPEG whose last scan is repeated, each a pass over all of its pixels."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height)).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * scans + data[-2:]


def _killed() -> dict[str, float]:
    if not _found:
        data, tally = _photograph(1200, 900), _Tally()
        with _served() as (served, first, second), _uploading(served, first, data, tally):
            before = _times_of(served, second, data, until=_after(5 * _ROUNDS), tally=tally)
            killer = threading.Thread(target=_kill, args=(served,))
            killer.start()
            during = _times_of(served, second, data, until=lambda _: not killer.is_alive(), tally=tally)
            killer.join()
        _found.update(p95=quantile(during, 0.95) / quantile(before, 0.95), lost=tally.lost)
        print(f"  {tally.sent} uploads; p95 {quantile(before, 0.95) * 1000:.0f} ms before")
    return _found


def _kill(served: Served) -> None:
    killed = 0
    while killed < _KILLS:
        time.sleep(_PAUSE_S)
        children = _decoders(served)
        if children:
            with suppress(psutil.NoSuchProcess):
                children[killed % len(children)].kill()
                killed += 1


def _decoders(served: Served) -> list[psutil.Process]:
    """List the children of the API's fork server."""
    with suppress(psutil.NoSuchProcess):
        return [child for server in _api(served).children() for child in server.children()]
    return []


def _api(served: Served) -> psutil.Process:
    """Return the process that answers requests: the one that gunicorn's first process has started."""
    return psutil.Process(served.process.pid).children()[0]


@cache
def _bombs() -> dict[str, float]:
    files = [*images.bombs(), *(each for each in images.hidden_bombs() if not each.name.startswith("largest"))]
    files.append(images.File("2,000 scans", many_scans(4000, 3000, 2000), ()))
    longest, slowest = 0.0, ""
    with _served() as (served, first, _):
        _times_of(served, first, _photograph(1200, 900), until=_after(3))
        api = _api(served)
        held = api.memory_info().rss
        with _client(served, first) as http:
            for file in files:
                began = time.perf_counter()
                answer = http.post("/v1/images", content=file.data, headers={"Content-Type": "image/png"})
                seconds = time.perf_counter() - began
                assert answer.status_code < 500, (file.name, answer.text)
                longest, slowest = max((longest, slowest), (seconds, file.name))
        peak = _peak_bytes(api.pid)
    print(f"  {len(files)} files; the slowest was {slowest}")
    return {"longest": longest, "growth": (peak - held) / 1e6}


def _peak_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return 1024 * int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


class _InProcess:
    """What decodes uploads in the API's own process."""

    def inspect(self, data: bytes, *, owner: str) -> ImageInfo:
        return codec.inspect(data, max_bytes=2**26, max_px=50_000_000)


class _Tally:
    """Uploads sent, and those that were not taken; any thread may count."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.sent = self.lost = 0

    def count(self, answer: httpx.Response) -> None:
        with self._lock:
            self.sent += 1
            self.lost += answer.status_code != 201


def _poster(home: Path, opened: ExitStack, *, in_process: bool) -> Callable[[bytes], object]:
    """Return what uploads to an app of its own, in this process."""
    home.mkdir()
    settings = Settings.load(home=home)
    migrations.upgrade(settings.database_url)
    database = connect(settings.database_url)
    key = add_key(database)
    database.engine.dispose()
    app = create_app(settings)
    services = app.extensions["atelier"]
    opened.callback(services.database.engine.dispose)
    opened.callback(services.hub.close, wait_s=10)
    if in_process:
        app.extensions["atelier"] = replace(services, decoders=_InProcess())
    client = client_with(app, key)

    def post(data: bytes) -> None:
        answer = client.post("/v1/images", data=data, content_type="image/jpeg")
        assert answer.status_code == 201, answer.json

    post(_photograph(1200, 900))
    return post


@contextmanager
def _served() -> Iterator[tuple[Served, str, str]]:
    """Serve the API; yield it, and the keys of two owners."""
    with tempfile.TemporaryDirectory() as folder, running_redis(Path(folder)) as redis_url:
        settings = Settings.load(home=Path(folder), redis_url=redis_url)
        migrations.upgrade(settings.database_url)
        database = connect(settings.database_url)
        first, second = (add_key(database, "client", owner) for owner in ("first", "second"))
        database.engine.dispose()
        with serving(settings, first) as served:
            yield served, first, second


@contextmanager
def _uploading(served: Served, key: str, data: bytes, tally: _Tally) -> Iterator[None]:
    """Upload as one owner, one picture after the other, until the end of the block."""
    ended = threading.Event()
    sender = threading.Thread(
        target=_times_of, args=(served, key, data), kwargs={"until": lambda _: ended.is_set(), "tally": tally}
    )
    sender.start()
    try:
        yield
    finally:
        ended.set()
        sender.join()


def _times_of(
    served: Served, key: str, data: bytes, *, until: Callable[[int], bool], tally: _Tally | None = None
) -> list[float]:
    """Upload one picture after the other until `until`, given their number, is so; return the seconds of each."""
    times: list[float] = []
    with _client(served, key) as http:
        while not until(len(times)):
            content = _another(data)
            began = time.perf_counter()
            answer = http.post("/v1/images", content=content, headers={"Content-Type": "image/jpeg"})
            times.append(time.perf_counter() - began)
            if tally is not None:
                tally.count(answer)
    return times


def _after(uploads: int) -> Callable[[int], bool]:
    return lambda sent: sent >= uploads


def _client(served: Served, key: str) -> httpx.Client:
    http = served.client()
    http.headers["Authorization"] = f"Bearer {key}"
    return http


def _seconds(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


@cache
def _photograph(width: int, height: int) -> bytes:
    """Make a JPEG as detailed as a photograph: about a sixth of a byte per pixel."""
    noise = np.random.default_rng(0).integers(0, 256, (height // 10, width // 10, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def _another(data: bytes) -> bytes:
    """Return the same picture as another upload: what follows a JPEG's end counts for nothing."""
    return data + str(next(_numbers)).encode()
