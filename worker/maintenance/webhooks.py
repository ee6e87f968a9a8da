"""Tells webhooks what happened: claims due deliveries and makes each call on a thread of its own.

A receiver that fails is tried again for three days; one that hangs costs its own call a deadline and nobody else
anything: at most `_PER_HOST` calls are under way to one host, and the others go on beside them.

Invariant: a call goes to an address that `shared.webhooks.ssrf_guard` has judged, follows nothing it is sent to, and
reads no more of the answer than its status.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpcore

from shared import clock, logs
from shared.db import deliveries, webhook_payloads
from shared.db.base import Database
from shared.db.deliveries import RETRY_DELAYS_S, ClaimedDelivery
from shared.errors import DatabaseUnavailable, ForbiddenUrl
from shared.webhooks import signing as webhooks
from shared.webhooks import ssrf_guard
from shared.webhooks.ssrf_guard import GuardedBackend, Network, Resolve

log = logs.get(__name__)

#: Calls under way at once, in all and to one host.
_AT_ONCE, _PER_HOST = 8, 2
#: Longest wait for a connection and for the whole call, in seconds.
_CONNECT_S, _CALL_S = 5.0, 15.0
#: By how much the waits of the schedule differ, so that what failed together is not tried together.
_JITTER = 0.1
_GONE = 410


class Answered(NamedTuple):
    """How a call went: its status, or why there is none."""

    status: int | None
    error: str | None
    #: Whether another try may go better.
    retryable: bool

    @property
    def delivered(self) -> bool:
        """Whether the receiver took it."""
        return self.status is not None and 200 <= self.status < 300


class Deliverer:
    """Makes the calls of one maintenance process; any number of these may run."""

    def __init__(
        self, database: Database, allowed: str, *, resolve: Resolve | None = None, call_s: float = _CALL_S
    ) -> None:
        """Call public addresses, and those in the networks `allowed`, for no longer than `call_s` each."""
        self._database = database
        self._allowed: tuple[Network, ...] = ssrf_guard.networks(allowed)
        self._resolve, self._call_s = resolve, call_s
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="deliver")
        self._lock = threading.Lock()
        self._under_way: Counter[str] = Counter()

    def run(self) -> int:
        """Begin the calls that are due, as many as may be under way; return how many. They end by themselves."""
        with self._lock:
            room = _AT_ONCE - self._under_way.total()
            full = [host for host, count in self._under_way.items() if count >= _PER_HOST]
        if room <= 0:
            return 0
        with self._database.writing("deliver") as session:
            claimed = deliveries.claim_due(session, room, full_hosts=full, per_host=_PER_HOST)
        for held in claimed:
            with self._lock:
                self._under_way[deliveries.host_of(held.url)] += 1
            self._pool.submit(self._deliver, held).add_done_callback(_tell_trouble)
        return len(claimed)

    def close(self) -> None:
        """Begin nothing more; calls under way are made again by another process if this one ends before them."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _deliver(self, held: ClaimedDelivery) -> None:
        try:
            started = time.monotonic()
            answered = self._answered(held)
            took_ms = round((time.monotonic() - started) * 1000)
            told = {"status": answered.status, "error": answered.error, "ms": took_ms}
            retry_in_s = _wait_s(held.attempt) if answered.retryable else None
            with self._database.writing("delivered") as session:
                entry = {"at": clock.rfc3339(clock.now()), **told}
                deliveries.record_attempt(session, held, entry, delivered=answered.delivered, retry_in_s=retry_in_s)
            log.info("webhook_called", delivery_id=held.id, attempt=held.attempt, **told)
        except DatabaseUnavailable as error:  # it is due again once its claim has ended
            log.warning("webhook_not_noted", delivery_id=held.id, reason=str(error))
        finally:
            with self._lock:
                self._under_way[deliveries.host_of(held.url)] -= 1

    def _answered(self, held: ClaimedDelivery) -> Answered:
        try:
            return self._call(held)
        except DatabaseUnavailable:
            raise
        except Exception as error:  # noted as an attempt, or it would be claimed again for ever
            log.exception("webhook_failed", delivery_id=held.id)
            return Answered(None, f"internal: {type(error).__name__}", retryable=True)

    def _call(self, held: ClaimedDelivery) -> Answered:
        with self._database.writing("webhook_secret") as session:
            signing = deliveries.get_secrets(session, held.owner)
            data = webhook_payloads.payload_of(session, held)
        timestamp = int(time.time())
        text = {"type": held.event, "timestamp": clock.rfc3339(clock.now()), "data": data}
        body = json.dumps(text, separators=(",", ":")).encode()
        secrets = [secret for secret in (signing.secret, signing.previous) if secret]
        return self._post(held.url, body, webhooks.headers(secrets, held.id, timestamp, body))

    def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answered:
        try:
            ssrf_guard.check_url(url, self._allowed)
            backend = GuardedBackend(self._allowed, deadline=time.monotonic() + self._call_s, resolve=self._resolve)
            timeout = {"connect": _CONNECT_S}  # the backend bounds the rest
            fields = {**headers, "host": urlsplit(url).netloc}  # httpcore forgets the brackets of IPv6
            request: dict[str, Any] = {"headers": fields, "content": body, "extensions": {"timeout": timeout}}
            with (
                httpcore.ConnectionPool(network_backend=backend, retries=0) as pool,
                pool.stream("POST", url, **request) as answer,
            ):
                status = int(answer.status)
        except ForbiddenUrl as error:
            return Answered(None, f"forbidden_url: {error.detail}", retryable=True)
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
            return Answered(None, f"{type(error).__name__}: {error}".rstrip(": ")[:300], retryable=True)
        moved = "redirects are not followed" if 300 <= status < 400 else None
        return Answered(status, moved, retryable=status != _GONE)


def _tell_trouble(call: Future[None]) -> None:
    """Log what nobody foresaw; the delivery is due again once its claim has ended."""
    error = call.exception() if not call.cancelled() else None
    if error is not None:
        log.error("webhook_failed", exc_info=error)


def _wait_s(attempt: int) -> float | None:
    """Return how long to wait after that many attempts have failed, or None when the schedule is over."""
    if attempt > len(RETRY_DELAYS_S):
        return None
    return RETRY_DELAYS_S[attempt - 1] * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - nothing to guess here
