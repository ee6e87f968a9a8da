"""What everybody else notices of clients that stall: 600 in the head, 600 in the body, 100 that read no answers.

The server is that of `make up`, with its default settings. They stall for a minute, or for `SLOW_PEERS_S` seconds;
whoever is ended comes back two seconds later.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from functools import cache
from pathlib import Path
from typing import NamedTuple

import httpx

from api.local.stack import Stack
from shared.imaging import codec
from shared.painting.forecasts import quantile
from shared.settings import Settings
from tests.benchmarks.registry import bench
from tests.support.factories import picture
from tests.support.waiting import wait_until

_HEADS, _BODIES, _READERS = 600, 600, 100
#: Size of the answer that nobody reads.
_LARGE_BYTES = 3 * 2**20
_SECONDS = float(os.environ.get("SLOW_PEERS_S", "60"))
#: Time between two requests of those who notice, in seconds; and how long they wait for an answer.
_EVERY_S, _PATIENCE_S = 0.1, 60.0
#: What a client may be borne beyond its deadline, for a busy machine, in seconds.
_SLACK_S = 5.0


class _Noticed(NamedTuple):
    """Times of requests, in ms, and the number of clients that stalled longer than they may."""

    health_ms: list[float]
    polls_ms: list[float]
    overdue: int


@bench("slow peers: /healthz beside 1300 of them, p99", "ms", 1000.0)
def health_p99() -> float:
    """Ask whether the server is alive, ten times a second."""
    return quantile(_noticed().health_ms, 0.99)


@bench("slow peers: a client's poll beside them, p99", "ms", 1000.0)
def poll_p99() -> float:
    """Ask for a job, ten times a second."""
    return quantile(_noticed().polls_ms, 0.99)


@bench("slow peers: those that outlived their deadlines", "", 0.0)
def overdue() -> float:
    """Count the clients that were borne longer than the settings say."""
    return _noticed().overdue


@cache
def _noticed() -> _Noticed:
    with tempfile.TemporaryDirectory(prefix="atelier-bench-") as home:
        settings = Settings.load(home=home, engine="null", port=0)
        with Stack(settings) as stack, httpx.Client(base_url=stack.url) as http:
            http.headers["Authorization"] = f"Bearer {stack.key}"
            polled = f"/v1/jobs/{_submit(http)}"
            _enlarge(http, settings, f"{polled}/result")
            stalling = _stall(stack, f"{polled}/result")
            times: dict[str, list[float]] = {"/healthz": [], polled: []}
            until = time.monotonic() + _SECONDS
            asking = [threading.Thread(target=_ask, args=(stack, path, times[path], until)) for path in times]
            for thread in asking:
                thread.start()
            for thread in asking:
                thread.join()
            found = json.loads(stalling.communicate(timeout=120)[0])
            print("  " + "; ".join(_ended(http)))
    for path, each in times.items():
        print(f"  {path[:8]}: {len(each)} answers, p50 {statistics.median(each):.1f}, max {max(each):.1f} ms")
    return _Noticed(times["/healthz"], times[polled], _overdue(settings, found["borne_s"], found["ages_s"]))


def _stall(stack: Stack, large: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.benchmarks.stalling"]
    stalling = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert stalling.stdin
    assert stalling.stdout
    given = {"heads": _HEADS, "bodies": _BODIES, "readers": _READERS, "seconds": _SECONDS + 5}
    json.dump({"url": stack.url, "key": stack.key, "large": large, **given}, stalling.stdin)
    stalling.stdin.close()
    stalling.stdin = None
    assert stalling.stdout.readline() == "open\n"
    return stalling


def _submit(http: httpx.Client) -> str:
    data = codec.encode(picture(64, 48), format="png")
    image = http.post("/v1/images", content=data, headers={"Content-Type": "image/png"}).raise_for_status().json()["id"]
    return str(http.post("/v1/jobs", json={"content": image, "style": image}).raise_for_status().json()["id"])


def _enlarge(http: httpx.Client, settings: Settings, path: str) -> None:
    """Give a job a result of some megabytes, once it has one: the `null` engine paints nothing so large."""
    wait_until(lambda: http.get(path).status_code == 200, "the picture is painted")
    painted = http.get(path).content
    files = [each for each in Path(settings.storage_url).rglob("*") if each.is_file() and each.read_bytes() == painted]
    assert files, "the result's file was not found"
    for file in files:
        file.write_bytes(painted + os.urandom(_LARGE_BYTES))
    assert len(http.get(path).content) > _LARGE_BYTES


def _ask(stack: Stack, path: str, times: list[float], until: float) -> None:
    """Ask again and again; no answer counts as one after all the patience there was."""
    with httpx.Client(
        base_url=stack.url, timeout=_PATIENCE_S, headers={"Authorization": f"Bearer {stack.key}"}
    ) as http:
        while time.monotonic() < until:
            started = time.perf_counter()
            try:
                http.get(path).raise_for_status()
                times.append(1000 * (time.perf_counter() - started))
            except httpx.HTTPError as error:
                print(f"  {path}: {type(error).__name__} after {time.perf_counter() - started:.1f} s")
                times.append(1000 * _PATIENCE_S)
            time.sleep(_EVERY_S)


def _ended(http: httpx.Client) -> list[str]:
    """Return what the server says of those it has ended."""
    lines = http.get("/metrics").text.splitlines()
    return [line.removeprefix("atelier_") for line in lines if line.startswith("atelier_clients_ended_total")]


def _overdue(settings: Settings, borne_s: dict[str, list[float]], ages_s: dict[str, list[float]]) -> int:
    """Count those that were, or still are, borne for too long."""
    stall_s = settings.client_stall_s
    bounds_s = {"head": settings.head_s, "body": stall_s, "body without a key": stall_s, "reader": stall_s}
    late = 0
    for kind, bound_s in bounds_s.items():
        each = borne_s.get(kind, [])
        late += sum(age_s > bound_s + _SLACK_S for age_s in (*each, *ages_s.get(kind, [])))
        longest_s = max(each, default=0.0)
        print(f"  {kind}: {len(each)} ended, after {statistics.median(each or [0]):.1f} s, at most {longest_s:.1f} s")
    return late
