"""What one client notices of another that wants everything at once: the p95 of each thing it does, against alone.

The server is that of `make up`, with the `null` engine and two workers. The modest client uploads a picture, submits a
job, asks for it until it has ended, and fetches the result, again and again, for half a minute alone and as long
beside the greedy one.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from functools import cache

import httpx

from api.local.stack import Stack
from shared.imaging import codec
from shared.painting.forecasts import quantile
from shared.settings import Settings
from tests.benchmarks.registry import bench
from tests.integration.worker.maintenance.webhook_receivers import ALLOWED, Receiver, receiving
from tests.support.factories import picture

_SECONDS = float(os.environ.get("SHARES_S", "30"))
_EVERY_S, _PATIENCE_S = 0.1, 60.0


@bench("shares: an upload beside a greedy key, p95", "times", 2.0)
def upload() -> float:
    """Upload a picture that the server does not know."""
    return _ratio("upload")


@bench("shares: a submission beside a greedy key, p95", "times", 2.0)
def submission() -> float:
    """Submit a job."""
    return _ratio("submit")


@bench("shares: a poll beside a greedy key, p95", "times", 2.0)
def poll() -> float:
    """Ask for a job."""
    return _ratio("poll")


@bench("shares: time to the result beside a greedy key, p95", "times", 2.0)
def time_to_result() -> float:
    """Wait for a job, from its submission to the end of its result's download."""
    return _ratio("result")


def _ratio(name: str) -> float:
    alone, beside = _times()
    return quantile(beside[name], 0.95) / quantile(alone[name], 0.95)


@cache
def _times() -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Return the times of the modest client's requests, in ms, alone and beside the greedy one."""
    with (
        tempfile.TemporaryDirectory(prefix="atelier-bench-") as home,
        receiving(lambda _, receiver: _hang(receiver)) as hook,
        Stack(Settings.load(home=home, engine="null", port=0, webhook_networks=ALLOWED), workers=2) as stack,
    ):
        modest, greedy = _key(stack, "modest"), _key(stack, "greedy")
        alone = _be_modest(stack.url, modest)
        command = [sys.executable, "-m", "tests.benchmarks.greedy"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps({"url": stack.url, "key": greedy, "hook": hook.url}) + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "open\n"
        beside = _be_modest(stack.url, modest)
        hook.ending.set()
        answers = json.loads(process.communicate(timeout=180)[0].splitlines()[-1])
    print("  the greedy one:", ", ".join(f"{name}: {many}" for name, many in sorted(answers.items())))
    for name, each in alone.items():
        print(f"  {name}: alone p50 {quantile(each, 0.5):.0f}, p95 {quantile(each, 0.95):.0f} ms; ", end="")
        print(f"beside p50 {quantile(beside[name], 0.5):.0f}, p95 {quantile(beside[name], 0.95):.0f} ms")
    return alone, beside


def _hang(receiver: Receiver) -> None:
    """Leave a webhook without an answer until the end."""
    receiver.ending.wait(_PATIENCE_S)


def _key(stack: Stack, name: str) -> str:
    headers = {"Authorization": f"Bearer {stack.key}"}
    answer = httpx.post(f"{stack.url}/v1/keys", json={"name": name, "role": "client"}, headers=headers)
    return str(answer.raise_for_status().json()["key"])


def _be_modest(url: str, key: str) -> dict[str, list[float]]:
    times: dict[str, list[float]] = defaultdict(list)
    until = time.monotonic() + _SECONDS
    with httpx.Client(base_url=url, timeout=_PATIENCE_S, headers={"Authorization": f"Bearer {key}"}) as http:
        while time.monotonic() < until:
            data = codec.encode(picture(320, 240, seed=time.monotonic_ns() % 2**31), format="png")
            image = _timed(times["upload"], http, "POST", "/v1/images", content=data)["id"]
            body = {"content": image, "style": image, "params": {"steps": 4}}
            started = time.perf_counter()
            job = _timed(times["submit"], http, "POST", "/v1/jobs", json=body)
            while job["state"] in ("queued", "running"):
                time.sleep(_EVERY_S)
                job = _timed(times["poll"], http, "GET", f"/v1/jobs/{job['id']}")
            http.get(f"/v1/jobs/{job['id']}/result").raise_for_status()
            times["result"].append(1000 * (time.perf_counter() - started))
    return times


def _timed(times: list[float], http: httpx.Client, method: str, path: str, **options: object) -> dict[str, str]:
    """Send a request, note how long its answer took in ms, and return what it says."""
    headers = {"Content-Type": "image/png"} if "content" in options else {}
    started = time.perf_counter()
    answer = http.request(method, path, headers=headers, **options)  # type: ignore[arg-type]
    times.append(1000 * (time.perf_counter() - started))
    found: dict[str, str] = answer.raise_for_status().json()
    return found
