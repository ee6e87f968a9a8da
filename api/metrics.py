"""Metrics for Prometheus: of the service, read from the database at each scrape, and of this process's requests.

Limits: requests are counted per process; with several processes on one address, a scrape reaches one of them.
"""

import statistics
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from flask import Flask, Response, g, request
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from redis import RedisError

from api.serializers.admin import serialize_workers
from api.serving.endings import endings
from shared import clock
from shared.db import deliveries
from shared.db.base import Database
from shared.db.jobs import forecasts, queries
from shared.messaging.chores import BrokenTasks
from shared.painting.forecasts import quantile

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
#: Recent jobs that quantiles and accuracy are taken of, and the period of the counts, in seconds.
_RECENT, _HOUR_S = 500, 3600.0
#: HTTP's own methods; a client may make up others, each of which would be a label of its own for good.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """The registry of one process."""

    def __init__(self, database: Database, broken_tasks: BrokenTasks) -> None:
        """Read the database and Redis at each scrape."""
        self._database, self._broken_tasks = database, broken_tasks
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._requests = Histogram(
            "atelier_request_seconds",
            "Time from a request to its response, by route; for a stream until it ends.",
            ("method", "route", "status"),
            buckets=_BUCKETS,
            registry=self._registry,
        )

    def text(self) -> bytes:
        """Return all metrics as they are now."""
        return generate_latest(self._registry)

    def observe(self, response: Response) -> Response:
        """Count a request that has its response."""
        began_at = g.get("began_at")
        if began_at is not None:
            route = request.url_rule.rule if request.url_rule else "none"
            method = request.method if request.method in _METHODS else "other"
            labels = (method, route, f"{response.status_code // 100}xx")
            self._requests.labels(*labels).observe(time.perf_counter() - began_at)
        return response

    def describe(self) -> Iterator[Metric]:
        """Describe nothing ahead of a scrape, which would read the database while the process starts."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Read what the database knows, and yield it."""
        with self._database.reading() as session:
            backlog = queries.get_backlog(session)
            ended = queries.count_ended_since(session, _HOUR_S)
            recent = forecasts.recent_times(session, _RECENT)
            etas = forecasts.list_eta_outcomes(session, _RECENT)
            pending = deliveries.count_pending(session)
        waiting_s = (clock.now() - backlog.oldest_at).total_seconds() if backlog.oldest_at else 0.0
        yield _gauge("jobs_queued", "Jobs that wait to run.", backlog.queued)
        yield _gauge("jobs_running", "Jobs that run.", backlog.running)
        yield _gauge("oldest_waiting_seconds", "Age of the oldest waiting job.", max(0.0, waiting_s))
        yield _by("jobs_ended_last_hour", "Jobs that ended within the last hour.", ("state", "code"), ended)
        yield _quantiles(
            "wait_seconds",
            "Time from submission to the first claim by a worker, of recent jobs that succeeded.",
            recent.waits_s,
        )
        yield _quantiles("run_seconds", "Time that recent jobs took to paint.", recent.runs_s)
        yield from _accuracy(etas)
        yield _gauge("webhook_deliveries_pending", "Deliveries still to be made.", pending)
        yield _ended_clients()
        states = Counter((worker.state,) for worker in serialize_workers(self._database).workers)
        yield _by("workers", "Painting workers.", ("state",), states)
        yield from self._maintenance()

    def _maintenance(self) -> Iterator[Metric]:
        """Count the errors of each task of maintenance that has had any; of none while Redis is away."""
        counts = {}
        with suppress(RedisError):
            counts = self._broken_tasks.counts()
        text = "Unexpected errors of maintenance tasks."
        family = CounterMetricFamily("atelier_maintenance_errors", text, labels=("task",))
        for task, count in counts.items():
            family.add_metric([task], count)
        yield family


def register(app: Flask, metrics: Metrics) -> None:
    """Count the requests of `app`, whose start `api.http.access_log` records."""
    app.after_request(metrics.observe)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"atelier_{name}", text, value=value)


def _by(name: str, text: str, labels: tuple[str, ...], values: Mapping[tuple[Any, ...], float]) -> Metric:
    family = GaugeMetricFamily(f"atelier_{name}", text, labels=labels)
    for key, value in values.items():
        family.add_metric([str(part) for part in key], value)
    return family


def _ended_clients() -> Metric:
    family = CounterMetricFamily("atelier_clients_ended", "Clients that were too slow or too many.", labels=("reason",))
    for reason, count in endings.counts().items():
        family.add_metric([reason.value], count)
    return family


def _quantiles(name: str, text: str, values: list[float]) -> Metric:
    shares = (0.5, 0.9, 0.99) if values else ()
    return _by(name, text, ("quantile",), {(share,): quantile(values, share) for share in shares})


def _accuracy(etas: list[forecasts.EtaOutcome]) -> Iterator[Metric]:
    """Measure how accurate ETAs were: half of the jobs should end by their p50, nine in ten by their p90."""
    kept, error = {}, {}
    if etas:
        kept["p50",] = sum(each.ended_at <= each.p50_at for each in etas) / len(etas)
        kept["p90",] = sum(each.ended_at <= each.p90_at for each in etas) / len(etas)
        error[()] = statistics.median(_relative_error(each) for each in etas)
    yield _by("eta_kept_ratio", "Share of recent jobs that ended by their ETA.", ("promise",), kept)
    yield _by("eta_error_ratio", "Median error of the p50 ETA, relative to the actual time.", (), error)
    yield CounterMetricFamily("atelier_eta_judged", "Recent jobs that had an ETA.", value=len(etas))


def _relative_error(eta: forecasts.EtaOutcome) -> float:
    actual_s = max(0.001, (eta.ended_at - eta.created_at).total_seconds())
    return abs((eta.p50_at - eta.ended_at).total_seconds()) / actual_s
