"""How many requests a key may make in any minute, counted in Redis for all processes of the API together.

Uses `limits` rather than Flask-Limiter: the limit is in the key's row, not on the routes, and our circuit breaker
knows that Redis is down, so that requests do not wait for it.

Invariant: while Redis is down, no request is refused, and only the breaker's own attempts are delayed.
"""

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


class RateLimitStatus(NamedTuple):
    """What is left of a key's limit; in `reset_s` seconds all of it is available again."""

    limit: int
    remaining: int
    reset_s: int

    def headers(self) -> dict[str, str]:
        """Return it as header fields. Source: draft-ietf-httpapi-ratelimit-headers-10."""
        return {
            "RateLimit-Policy": f'"minute";q={self.limit};w={_WINDOW_S}',
            "RateLimit": f'"minute";r={self.remaining};t={self.reset_s}',
        }


class RateLimits:
    """Counts the requests of each key; any number of threads may use it."""

    def __init__(self, redis_url: str, default_per_min: int) -> None:
        """Allow keys without a limit of their own `default_per_min` requests a minute; 0 is no limit."""
        pool = progress.connect(redis_url, timeout_s=_REDIS_S).connection_pool
        self._default = default_per_min
        self._pool = pool
        self._limiter: MovingWindowRateLimiter | None = None
        self._breaker = CircuitBreaker((RedisError,), reset_after_s=_REST_S)
        self._lock = threading.Lock()
        self._is_down = False

    def count(self, caller: Caller) -> RateLimitStatus | None:
        """Count a request; return what is left, or None for a key without a limit or while Redis is down.

        Raises `RateLimited` if the limit is reached; such a request is not counted.
        """
        limit = caller.max_requests_per_min or self._default
        if not limit:
            return None
        try:
            admitted, status = self._breaker.call(lambda: self._counted(caller.key_id, limit))
        except RedisError as error:
            if self._has_changed(is_down=True):
                log.warning("rate_limits_unavailable", reason=str(error))
            return None
        if self._has_changed(is_down=False):
            log.info("rate_limits_returned")
        if not admitted:
            detail = f"This key may make at most {limit} requests a minute."
            raise RateLimited(detail, limit=limit, retry_after_s=max(1, status.reset_s))
        return status

    def _has_changed(self, *, is_down: bool) -> bool:
        """Record whether Redis is down; return True, to one thread alone, if that has changed."""
        with self._lock:
            has_changed, self._is_down = self._is_down != is_down, is_down
        return has_changed

    def _counted(self, key_id: str, limit: int) -> tuple[bool, RateLimitStatus]:
        if self._limiter is None:  # it loads its scripts into Redis as it is made
            self._limiter = MovingWindowRateLimiter(RedisStorage("redis://", self._pool, key_prefix="atelier:limits"))
        item = RateLimitItemPerMinute(limit)
        admitted = self._limiter.hit(item, key_id)
        reset_at, remaining = self._limiter.get_window_stats(item, key_id)
        return admitted, RateLimitStatus(limit, max(0, remaining), math.ceil(max(0.0, reset_at - time.time())))
