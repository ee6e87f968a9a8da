"""The API as a client meets it: one that submits, and a database that holds a million jobs."""

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from sqlalchemy import text

import migrations
from api.local.home import operator_key
from api.local.stack import Stack
from shared import ids
from shared.db.base import Database, connect
from shared.imaging import codec
from shared.painting.forecasts import quantile
from shared.settings import Settings
from tests.benchmarks.registry import bench
from tests.support.factories import add_image, add_key, picture
from tests.support.postgres import PostgresServer

_SUBMITS = 400
_MILLION = 1_000_000
#: Pages asked for, each often enough for a 99th percentile.
_ROUNDS = 30

_found: dict[str, float] = {}


@bench("api: submit, one client, p50", "ms", 15.0)
def submit_p50() -> float:
    """Submit jobs of one small picture, uploaded before, one after the other; the median."""
    _found.update(_submit_times())
    return _found["p50"]


@bench("api: submit, one client, p99", "ms", 60.0)
def submit_p99() -> float:
    """The slowest of a hundred of these."""
    return _found["p99"] if _found else _submit_times()["p99"]


@bench("api: any page of 1,000,000 jobs, p99", "ms", 50.0)
def listing_p99() -> float:
    """Ask for pages of every kind from a PostgreSQL with a million jobs, over HTTP; the worst kind's p99."""
    with million() as (http, cursor):
        worst = {}
        for query in _QUERIES:
            path = "/v1/jobs?limit=50" + query.replace("CURSOR", cursor)
            http.get(path)
            times = [_ms(http, "GET", path) for _ in range(_ROUNDS)]
            worst[query or "(all)"] = quantile(times, 0.99)
        for query, value in sorted(worst.items(), key=lambda pair: -pair[1]):
            print(f"  {value:8.1f} ms  {query}")
        return max(worst.values())


_QUERIES = (
    "", "&cursor=CURSOR", "&state=queued", "&state=failed", "&state=failed&state=canceled",
    "&state=succeeded&cursor=CURSOR", "&owner=o7", "&owner=o7&cursor=CURSOR", "&owner=o7&state=failed", "&owner=nobody",
    "&label=l3", "&label=l3&state=failed", "&label=none", "&owner=o7&label=l3",
    "&created_after=2030-01-01T00:00:00Z", "&created_after=2001-01-01T00:00:00Z",
)  # fmt: skip


def _submit_times() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings.load(home=folder, engine="null", port=0)
        with Stack(settings) as stack, http_to(stack.url, stack.key) as http:
            http.post("/v1/queue/pause").raise_for_status()
            data = codec.encode(picture(64, 48), format="png")
            image = http.post("/v1/images", content=data, headers={"Content-Type": "image/png"}).json()["id"]
            body = {"content": image, "style": image}
            for _ in range(20):
                http.post("/v1/jobs", json=body).raise_for_status()
            times = [_ms(http, "POST", "/v1/jobs", json=body) for _ in range(_SUBMITS)]
    return {"p50": statistics.median(times), "p99": quantile(times, 0.99)}


@contextmanager
def million(prepare: Callable[[Database], object] = lambda _: None) -> Iterator[tuple[httpx.Client, str]]:
    """Serve a PostgreSQL with a million jobs, and what `prepare` adds; yield a client and a cursor in their middle."""
    with tempfile.TemporaryDirectory() as folder, PostgresServer() as server:
        url = server.create_database("million")
        migrations.upgrade(url)
        database = connect(url)
        image = add_image(database)
        add_key(database)
        cursor = _fill(database.engine, image)
        prepare(database)
        settings = Settings.load(home=folder, database_url=url, port=0, engine="null")
        with Stack(settings) as stack, http_to(stack.url, operator_key(Path(folder)) or "") as http:
            http.post("/v1/queue/pause").raise_for_status()
            yield http, cursor
        database.engine.dispose()


def _fill(engine, image: str) -> str:
    """Add a million jobs of twenty owners and ten labels, most of them ended; return a cursor in their middle."""
    from api.http.pagination import encode

    base = int(ids.new_id().replace("-", "")[:12], 16) - 2 * _MILLION
    statement = text(
        """
        INSERT INTO jobs (id, place, owner, lane, reuse, state, preset, params, content_id, styles, priority, label,
            metadata, attempt, lost_attempts, retries, ran_s, created_at, ended_at, retention_s, result, error_code)
        SELECT uuid, uuid, 'o' || (n % 20), 'owner:o' || (n % 20), false, state, 'fast', '{"size": 256}', :image,
            CAST(:styles AS json), 0, 'l' || (n % 10), '{}', 1, 0, 0, 1.0, now() - (:million - n) * interval '1 ms',
            CASE WHEN state = 'queued' THEN NULL ELSE now() END, 2592000,
            CASE WHEN state = 'succeeded' THEN
              '{"width": 1, "height": 1, "bytes": 1, "format": "png", "partial": false}'::json END,
            CASE WHEN state = 'failed' THEN 'diverged' END
        FROM (SELECT n, CASE WHEN n % 10 = 0 THEN 'queued' WHEN n % 1000 = 7 THEN 'failed'
                WHEN n % 50 = 3 THEN 'canceled' ELSE 'succeeded' END AS state,
              substr(lpad(to_hex(:base + n), 12, '0'), 1, 8) || '-' || substr(lpad(to_hex(:base + n), 12, '0'), 9, 4)
                || '-7000-8000-' || lpad(to_hex(n), 12, '0') AS uuid
              FROM generate_series(1, :million) AS n) AS made
        """
    )
    styles = json.dumps([{"image": image, "weight": 1}])
    given = {"image": image, "styles": styles, "million": _MILLION, "base": base}
    with engine.begin() as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(statement, given)
        middle = connection.scalar(text("SELECT place FROM jobs ORDER BY place OFFSET 500000 LIMIT 1"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("VACUUM ANALYZE jobs"))
    return encode(str(middle))


def http_to(url: str, key: str) -> httpx.Client:
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60)


def _ms(http: httpx.Client, method: str, path: str, **request: object) -> float:
    started = time.perf_counter()
    http.request(method, path, **request).raise_for_status()  # type: ignore[arg-type]
    return (time.perf_counter() - started) * 1000
