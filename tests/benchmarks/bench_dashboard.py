"""The dashboard: pages over a million jobs, and how heavily fifty open ones weigh on those who poll the API.

`ATELIER_BENCH_MINUTES` is how long these are open; ten minutes is the promise.
"""

import http.client
import multiprocessing
import os
import re
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from multiprocessing.synchronize import Event
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
from playwright.sync_api import sync_playwright

from api.local.stack import Stack
from shared import clock
from shared.db import workers
from shared.db.base import Database
from shared.db.models import Job, MinuteStats
from shared.imaging import codec
from shared.messaging import progress
from shared.messaging.progress import RedisProgress
from shared.painting.forecasts import quantile
from shared.settings import Settings
from shared.states import State
from tests.benchmarks.bench_api import http_to, million
from tests.benchmarks.registry import bench
from tests.support.factories import picture
from tests.support.waiting import wait_until

_ROUNDS, _WORKERS = 30, 50
#: Longer than a look at the whole serves everybody, in seconds: each one measured is a new one.
_APART_S = 0.6
_MINUTES = float(os.environ.get("ATELIER_BENCH_MINUTES", "2"))
_DASHBOARDS, _FOLLOWERS = 40, 10
#: Time between two polls of the client beside them.
_POLL_EVERY_S = 0.05
#: How long marks are watched, in milliseconds, and how: each step, and the moment at which it stood on the page.
_WATCHED_MS = 20_000
_WATCH = """(milliseconds) => new Promise((resolve) => {
  const place = document.querySelector('[data-live="step"]'), marks = {};
  new MutationObserver(() => { marks[place.textContent] = Date.now(); }).observe(place, {childList: true});
  setTimeout(() => resolve(marks), milliseconds);
})"""
_PAGES = (
    "", "/now", "/jobs", "/jobs?cursor=CURSOR", "/jobs?q=state:failed", "/jobs?q=code:diverged", "/jobs?q=owner:o7",
    "/jobs?q=label:l3", "/jobs?q=owner:o7 label:l3", "/jobs?q=owner:o7 state:succeeded after:2020-01-01",
    "/jobs?q=label:none", "/jobs/JOB", "/batches", "/submit", "/failures", "/operations",
    "/operations?q=state:failed&action=retry", "/operations?q=owner:o7&action=delete", "/audit",
)  # fmt: skip


@bench("dashboard: any page of 1,000,000 jobs and 50 workers, p95", "ms", 100.0)
def page_p95() -> float:
    """Ask for every page from a PostgreSQL with a million jobs, over HTTP; the worst page's p95."""
    with million(_add_workers) as (api, cursor):
        browser = _signed_in(str(api.base_url), api.headers["Authorization"].split()[1])
        job_id = api.get("/v1/jobs?state=queued&limit=1").json()["jobs"][0]["id"]
        worst = {}
        for page in _PAGES:
            path = "/dashboard" + page.replace("CURSOR", cursor).replace("JOB", job_id)
            times = [_ms(browser, path) for _ in range(_ROUNDS)]
            worst[page or "(now)"] = quantile(times, 0.95)
        for page, value in sorted(worst.items(), key=lambda pair: -pair[1]):
            print(f"  {value:8.1f} ms  {page}")
        return max(worst.values())


@bench("dashboard: a step in the worker to its mark on the page, p99", "ms", 1000.0)
def step_to_mark() -> float:
    """Watch a job's page in Chromium for a while; each mark against the moment at which Redis took the step."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        settings = Settings.load(home=folder, engine="null", null_step_s=0.1, port=0)
        with Stack(settings) as stack, http_to(stack.url, stack.key) as api:
            job_id = _running_job(api).rpartition("/")[2]
            options = {"executable_path": shutil.which("chromium"), "args": ["--no-sandbox"]}
            page = playwright.chromium.launch(**options).new_page(base_url=stack.url)
            page.goto("/login")
            page.get_by_label("API key").fill(stack.key)
            page.get_by_role("button", name="Sign in").click()
            page.goto(f"/dashboard/jobs/{job_id}")
            page.locator("#curves canvas").wait_for()
            marks = page.evaluate(_WATCH, _WATCHED_MS)
            told = RedisProgress(progress.connect(settings.redis_url)).events(job_id)
            moments = {event.data["step"]: int(event.id.split("-")[0]) for event in told if event.name == "step"}
    delays = [at - moments[int(step)] for step, at in marks.items() if int(step) in moments]
    assert len(delays) > 50, delays
    return quantile(delays, 0.99)


@bench("dashboard: 50 open, a client's poll against none open, p50", "ratio", 1.2)
def poll_beside() -> float:
    """Poll a running job's status before and while 40 pages Now and 10 pages of jobs are open."""
    return _open_dashboards()["beside"]


@bench("dashboard: 50 open, growth of the API's memory from the first fifth to the last", "MB", 10.0)
def memory_growth() -> float:
    """Compare the medians of what the API's processes hold meanwhile."""
    return _open_dashboards()["growth_mb"]


def _add_workers(database: Database) -> None:
    """Have fifty workers paint fifty jobs, and an hour of readings."""
    now = clock.now()
    with database.writing() as session:
        for number in range(_WORKERS):
            about = {"device": {"kind": "gpu", "name": "a GPU"}, "capacity": {"memory_bytes": 8 * 10**9}}
            workers.record_heartbeat(
                session, f"studio-{number}", {**about, "warm_styles": [], "memory": {"held": 10**9, "peak": 2 * 10**9}}
            )
        for number, job in enumerate(session.query(Job).filter(Job.state == State.QUEUED).limit(_WORKERS)):
            job.state, job.worker, job.started_at = State.RUNNING, f"studio-{number}", now
            job.lease_expires_at = now + timedelta(hours=1)
            losses = {"total": 1.0, "content": 0.5, "style": 0.5, "tv": 0.0}
            job.progress = {
                "step": 7,
                "total": 90,
                "scale": 1,
                "scales": 2,
                "step_ms": 90.0,
                "eta_s": 60.0,
                "losses": losses,
            }
        for back in range(60):
            figures: dict[str, Any] = {
                "waiting": 100_000,
                "running": 50,
                "oldest_s": 60.0,
                "succeeded": 900,
                "failed": 1,
            }
            figures |= dict.fromkeys(("wait_p50_s", "wait_p90_s", "run_p50_s", "run_p90_s"), 3.0)
            session.merge(MinuteStats(minute=now.replace(second=0, microsecond=0) - timedelta(minutes=back), **figures))


def _signed_in(url: str, key: str) -> httpx.Client:
    browser = httpx.Client(base_url=url, timeout=60, headers={"Origin": url.rstrip("/")})
    assert browser.post("/login", data={"key": key}).status_code == 303
    return browser


def _ms(browser: httpx.Client, path: str) -> float:
    time.sleep(_APART_S if path in ("/dashboard", "/dashboard/now") else 0)
    started = time.perf_counter()
    answer = browser.get(path)
    took = (time.perf_counter() - started) * 1000
    assert answer.status_code == 200, (path, answer.status_code)
    return took


@cache
def _open_dashboards() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings.load(home=folder, engine="null", null_step_s=0.1, port=0)
        with Stack(settings) as stack, http_to(stack.url, stack.key) as api:
            path = _running_job(api)
            alone = [_poll_ms(api, path) for _ in range(400)]
            server = [
                each for each in psutil.Process().children(recursive=True) if "api.wsgi" in " ".join(each.cmdline())
            ]
            assert server
            held: list[float] = []
            beside: list[float] = []
            with _dashboards(stack, path):
                ends = time.monotonic() + 60 * _MINUTES
                while time.monotonic() < ends:
                    beside.append(_poll_ms(api, path))
                    held.append(sum(each.memory_info().rss for each in server) / 1e6)
    fifth = len(held) // 5
    medians = statistics.median(alone), statistics.median(beside)
    print(f"  polls: {medians[0]:.1f} ms alone, {medians[1]:.1f} ms beside; the API holds {held[-1]:.0f} MB")
    growth = statistics.median(held[-fifth:]) - statistics.median(held[fifth : 2 * fifth])
    return {"beside": medians[1] / medians[0], "growth_mb": growth}


def _running_job(api: httpx.Client) -> str:
    """Submit a job that runs for long, and return its path once it does."""
    png = codec.encode(picture(512, 384), format="png")
    image = api.post("/v1/images", content=png, headers={"Content-Type": "image/png"}).json()["id"]
    body = {"content": image, "style": image, "preset": "classic", "params": {"steps": 10_000}}
    path = str(api.post("/v1/jobs", json=body).json()["links"]["self"])
    wait_until(lambda: api.get(path).json()["state"] == "running", "it runs", timeout_s=60)
    return path


def _poll_ms(api: httpx.Client, path: str) -> float:
    time.sleep(_POLL_EVERY_S)
    started = time.perf_counter()
    api.get(path).raise_for_status()
    return (time.perf_counter() - started) * 1000


@contextmanager
def _dashboards(stack: Stack, job_path: str) -> Iterator[None]:
    """Have pages open in another process, each a browser of its own that asks as the pages' scripts do."""
    cookie = "; ".join(f"{name}={value}" for name, value in _signed_in(stack.url, stack.key).cookies.items())
    context = multiprocessing.get_context("spawn")
    over = context.Event()
    browsers = context.Process(target=_open_all, args=(stack.url, cookie, job_path.rpartition("/")[2], over))
    browsers.start()
    try:
        yield
    finally:
        over.set()
        browsers.join()
    assert browsers.exitcode == 0


def _open_all(url: str, cookie: str, job_id: str, over: Event) -> None:
    failed: list[object] = []
    threading.excepthook = failed.append
    openers = [threading.Thread(target=_now, args=(url, cookie, over)) for _ in range(_DASHBOARDS)]
    openers += [threading.Thread(target=_job, args=(url, cookie, job_id, over)) for _ in range(_FOLLOWERS)]
    for opener in openers:
        opener.start()
        time.sleep(0.02)
    for opener in openers:
        opener.join()
    assert not failed, failed


def _now(url: str, cookie: str, over: Event) -> None:
    """Ask for the page Now once a second, and for each preview that it names for the first time."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    seen: set[str] = set()
    while not over.wait(1.0):
        page = _get(connection, "/dashboard/now", cookie).decode()
        for preview in set(re.findall(r'src="(/dashboard/jobs/[^"]+)"', page)) - seen:
            seen.add(preview)
            _get(connection, preview, cookie)
    connection.close()


def _job(url: str, cookie: str, job_id: str, over: Event) -> None:
    """Follow a job's events, and ask for each preview that they tell of."""
    stream = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    stream.request("GET", f"/dashboard/jobs/{job_id}/events", headers={"Cookie": cookie})
    events, connection = stream.getresponse(), http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    while not over.is_set():
        line = events.readline()
        if line.startswith(b"event: preview"):
            _get(connection, f"/dashboard/jobs/{job_id}/preview?v={time.time()}", cookie)
        elif not line:  # the stream's life has ended
            stream.close()
            stream.request("GET", f"/dashboard/jobs/{job_id}/events", headers={"Cookie": cookie})
            events = stream.getresponse()
    stream.close()


def _get(connection: http.client.HTTPConnection, path: str, cookie: str) -> bytes:
    connection.request("GET", path, headers={"Cookie": cookie, "HX-Request": "true"})
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200, (path, answer.status)
    return body
