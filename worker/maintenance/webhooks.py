"""Sends webhooks: claims due deliveries and makes each call on a thread of its own.

A failed delivery is retried for three days. A receiver that hangs costs no more than its own call's deadline, and
holds up no other owner's: `webhook_slots` says how many calls each may have. One that finds its receiver's address busy
is made a little later, and that is no attempt.

Invariant: a call goes only to an address that `shared.webhooks.ssrf_guard` has approved, follows no redirect, and
reads nothing of the response but its status.
"""

import json
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpcore

from shared import clock, logs
from shared.addresses import Network, networks
from shared.db import deliveries, webhook_payloads
from shared.db.base import Database
from shared.db.deliveries import RETRY_DELAYS_S, ClaimedDelivery
from shared.errors import DatabaseUnavailable, ForbiddenUrl
from shared.webhooks import signing as webhooks
from shared.webhooks import ssrf_guard
from shared.webhooks.ssrf_guard import Admit, GuardedBackend, Resolve
from worker.maintenance.webhook_slots import AT_ONCE, ReceiverBusy, WebhookSlots

log = logs.get(__name__)

#: Deadlines of the connection and of the whole call, in seconds.
_CONNECT_S, _CALL_S = 5.0, 15.0
#: When a call is tried again whose receiver's address was busy, in seconds.
_BUSY_S = 2.0
#: Random share added to or taken from each wait, so that deliveries that failed together are not retried together.
_JITTER = 0.1
_GONE = 410


class CallResult(NamedTuple):
    """The outcome of a call: its HTTP status, or the error that prevented one."""

    status: int | None
    error: str | None
    #: Whether another attempt may succeed.
    retryable: bool

    @property
    def delivered(self) -> bool:
        """Whether the receiver accepted it."""
        return self.status is not None and 200 <= self.status < 300


class _SlotsTaken:
    """The slots that one transaction takes."""

    def __init__(self, slots: WebhookSlots) -> None:
        self._slots = slots
        self._taken: Counter[tuple[str, str]] = Counter()
        self.held_by, self.has_room = slots.held_by, slots.has_room

    def take(self, owner: str, host: str) -> bool:
        """Take a slot for an owner's call to a host; return False if there is none."""
        taken = self._slots.take(owner, host)
        self._taken[owner, host] += taken
        return taken

    def give_back_but(self, claimed: Sequence[ClaimedDelivery]) -> None:
        """Return the slots of all but the claimed deliveries."""
        used = Counter((held.owner, deliveries.host_of(held.url)) for held in claimed)
        for owner, host in (self._taken - used).elements():
            self._slots.give_back(owner, host)


class WebhookSender:
    """Makes the calls of one maintenance process; any number of processes may, and repeat what another dropped."""

    def __init__(
        self,
        database: Database,
        allowed: str,
        *,
        public_url: str = "",
        resolve: Resolve | None = None,
        call_s: float = _CALL_S,
    ) -> None:
        """Allow calls to public addresses and to the networks `allowed`, each lasting at most `call_s`.

        Links in payloads begin with `public_url`; without one they are paths.
        """
        self._database = database
        self._allowed: tuple[Network, ...] = networks(allowed)
        self._resolve, self._call_s, self._public_url = resolve, call_s, public_url
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="webhook")
        self._slots = WebhookSlots()

    def run(self) -> int:
        """Start the calls that are due, up to the limits, without waiting for them; return how many."""
        taken = _SlotsTaken(self._slots)
        claimed: list[ClaimedDelivery] = []
        try:
            with self._database.writing("deliver") as session:
                claimed = deliveries.claim_due(session, taken)
        finally:
            taken.give_back_but(claimed)
        for held in claimed:
            self._pool.submit(self._deliver, held)
        return len(claimed)

    def _deliver(self, held: ClaimedDelivery) -> None:
        try:
            started = time.monotonic()
            try:
                result = self._try_call(held)
            except ReceiverBusy as busy:
                with self._database.writing("postponed") as session:
                    deliveries.postpone(session, held, _jittered(_BUSY_S))
                log.info("webhook_postponed", delivery_id=held.id, busy=str(busy))
                return
            took_ms = round((time.monotonic() - started) * 1000)
            facts = {"status": result.status, "error": result.error, "ms": took_ms}
            retry_in_s = _wait_s(held.attempt) if result.retryable else None
            with self._database.writing("delivered") as session:
                entry = {"at": clock.rfc3339(clock.now()), **facts}
                deliveries.record_attempt(session, held, entry, delivered=result.delivered, retry_in_s=retry_in_s)
            log.info("webhook_called", delivery_id=held.id, attempt=held.attempt, **facts)
        # in either case the delivery is due again when its claim ends
        except DatabaseUnavailable as error:
            log.warning("webhook_not_recorded", delivery_id=held.id, reason=str(error))
        except Exception:  # which the pool would keep to itself
            log.exception("webhook_failed", delivery_id=held.id)
        finally:
            self._slots.give_back(held.owner, deliveries.host_of(held.url))

    def _try_call(self, held: ClaimedDelivery) -> CallResult:
        try:
            return self._call(held)
        except (DatabaseUnavailable, ReceiverBusy):
            raise
        except Exception as error:  # recorded as an attempt, or it would be claimed again for ever
            log.exception("webhook_failed", delivery_id=held.id)
            return CallResult(None, f"internal: {type(error).__name__}", retryable=True)

    def _call(self, held: ClaimedDelivery) -> CallResult:
        with self._database.writing("webhook_secret") as session:
            signing = deliveries.get_secrets(session, held.owner)
            data = webhook_payloads.payload_of(session, held, self._public_url)
        timestamp = int(time.time())
        event = {"type": held.event, "timestamp": clock.rfc3339(clock.now()), "data": data}
        body = json.dumps(event, separators=(",", ":")).encode()
        secrets = [secret for secret in (signing.secret, signing.previous) if secret]
        with ExitStack() as places:

            def admit(addresses: list[str], port: int) -> None:
                places.enter_context(self._slots.places(held.owner, addresses, port))

            return self._post(held.url, body, webhooks.headers(secrets, held.id, timestamp, body), admit)

    def _post(self, url: str, body: bytes, headers: Mapping[str, str], admit: Admit) -> CallResult:
        """Make a call, unless `admit` raises; tell how it went."""
        deadline = time.monotonic() + self._call_s
        try:
            ssrf_guard.check_url(url, self._allowed)
            backend = GuardedBackend(self._allowed, deadline=deadline, resolve=self._resolve, admit=admit)
            timeout = {"connect": _CONNECT_S}  # the backend bounds the rest
            fields = {**headers, "host": urlsplit(url).netloc}  # httpcore forgets the brackets of IPv6
            request: dict[str, Any] = {"headers": fields, "content": body, "extensions": {"timeout": timeout}}
            with (
                httpcore.ConnectionPool(network_backend=backend, retries=0) as pool,
                pool.stream("POST", url, **request) as response,
            ):
                status = int(response.status)
        except ForbiddenUrl as error:
            return CallResult(None, f"forbidden_url: {error.detail}", retryable=True)
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
            return CallResult(None, f"{type(error).__name__}: {error}".rstrip(": ")[:300], retryable=True)
        error_text = "redirects are not followed" if 300 <= status < 400 else None
        return CallResult(status, error_text, retryable=status != _GONE)


def _wait_s(attempt: int) -> float | None:
    """Return the wait after `attempt` failed attempts, or None at the end of the schedule."""
    if attempt > len(RETRY_DELAYS_S):
        return None
    return _jittered(RETRY_DELAYS_S[attempt - 1])


def _jittered(seconds: float) -> float:
    return seconds * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - nothing to guess here
