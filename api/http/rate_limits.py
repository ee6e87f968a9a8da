"""How many requests a key may make in any minute, counted in Redis for all processes of the API together.

Made of `limits`, which Flask-Limiter is made of too: what a key may is in its row, not on the routes, and a Redis
that is away is known from our breaker, so that no request waits for it.

Invariant: no request is refused, or delayed beyond the breaker's first, because Redis is away.
"""

from __future__ import annotations

import math
import threading
import time
from typing import NamedTuple

from limits import RateLimitItemPerMinute
from limits.storage import RedisStorage
from limits.strategies import MovingWindowRateLimiter
from redis import RedisError

from api.access import Caller
from shared import logs
from shared.errors import RateLimited
from shared.messaging import progress
from shared.messaging.circuit_breaker import CircuitBreaker

log = logs.get(__name__)

_WINDOW_S = 60
#: Longest wait for Redis inside a request, and how long it is then left alone, in seconds.
_REDIS_S, _REST_S = 0.5, 2.0


class Standing(NamedTuple):
    """What is left of a key's minute; `reset_s` until all of it is there again."""

    limit: int
    remaining: int
    reset_s: int

    def headers(self) -> dict[str, str]:
        """Write it as fields. Source: draft-ietf-httpapi-ratelimit-headers-10."""
        return {
            "RateLimit-Policy": f'"minute";q={self.limit};w={_WINDOW_S}',
            "RateLimit": f'"minute";r={self.remaining};t={self.reset_s}',
        }


class RateLimits:
    """Counts the requests of each key; any number of threads may ask."""

    def __init__(self, redis_url: str, default_per_min: int) -> None:
        """Let keys without a limit of their own make `default_per_min` requests a minute; 0 is no limit."""
        pool = progress.connect(redis_url, timeout_s=_REDIS_S).connection_pool
        self._default = default_per_min
        self._pool = pool
        self._limiter: MovingWindowRateLimiter | None = None
        self._breaker = CircuitBreaker((RedisError,), reset_after_s=_REST_S)
        self._lock = threading.Lock()
        self._away = False

    def count(self, caller: Caller) -> Standing | None:
        """Count a request; return how its key stands, or None if nothing limits it or nobody can tell.

        Raises `RateLimited` if the minute is full; such a request is not counted.
        """
        limit = caller.max_requests_per_min or self._default
        if not limit:
            return None
        try:
            admitted, standing = self._breaker.call(lambda: self._counted(caller.key_id, limit))
        except RedisError as error:
            if self._turned(away=True):
                log.warning("rate_limits_unavailable", reason=str(error))
            return None
        if self._turned(away=False):
            log.info("rate_limits_returned")
        if not admitted:
            detail = f"This key may make {limit} requests a minute."
            raise RateLimited(detail, limit=limit, retry_after_s=max(1, standing.reset_s))
        return standing

    def _turned(self, *, away: bool) -> bool:
        """Note whether Redis is away; say whether that is news, to one thread alone."""
        with self._lock:
            is_news, self._away = self._away != away, away
        return is_news

    def _counted(self, key_id: str, limit: int) -> tuple[bool, Standing]:
        if self._limiter is None:  # it loads its scripts into Redis as it is made
            self._limiter = MovingWindowRateLimiter(RedisStorage("redis://", self._pool, key_prefix="atelier:limits"))
        item = RateLimitItemPerMinute(limit)
        admitted = self._limiter.hit(item, key_id)
        reset_at, remaining = self._limiter.get_window_stats(item, key_id)
        return admitted, Standing(limit, max(0, remaining), math.ceil(max(0.0, reset_at - time.time())))
