"""How many requests a key may make in any minute, counted in Redis for all processes of the API together.

Pages of the dashboard have a count of their own, so that those which are open and poll take nothing from the key's
programs. Attempts to sign in, which have no key yet, are counted by address.

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
#: Least limit of the pages that a key's session opens, in requests a minute: a page of a batch shows 200 pictures.
_MIN_PAGES_PER_MIN = 1200
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

    def __init__(self, redis_url: str, default_per_min: int, sign_ins_per_min: int = 0) -> None:
        """Allow keys without a limit of their own `default_per_min` requests a minute; 0 is no limit, of either."""
        pool = progress.connect(redis_url, timeout_s=_REDIS_S).connection_pool
        self._default, self._sign_ins = default_per_min, sign_ins_per_min
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
        detail = f"This key may make at most {limit} requests a minute."
        return self._count(caller.key_id, limit, detail) if limit else None

    def count_page(self, caller: Caller) -> None:
        """Count a page that a browser opens; raise `RateLimited` if the key's session has opened too many."""
        limit = caller.max_requests_per_min or self._default
        if limit:
            limit = max(limit, _MIN_PAGES_PER_MIN)
            self._count(f"pages:{caller.key_id}", limit, f"A browser may open at most {limit} pages a minute.")

    def count_sign_in(self, address: str) -> None:
        """Count an attempt to sign in; raise `RateLimited` if the address has made too many."""
        if self._sign_ins:
            detail = f"At most {self._sign_ins} attempts to sign in a minute are allowed; wait a moment."
            self._count(f"sign-in:{address}", self._sign_ins, detail)

    def _count(self, name: str, limit: int, detail: str) -> RateLimitStatus | None:
        """Count one more of `name`; raise `RateLimited` with `detail` above the limit."""
        try:
            admitted, status = self._breaker.call(lambda: self._counted(name, limit))
        except RedisError as error:
            if self._has_changed(is_down=True):
                log.warning("rate_limits_unavailable", reason=str(error))
            return None
        if self._has_changed(is_down=False):
            log.info("rate_limits_returned")
        if not admitted:
            raise RateLimited(detail, limit=limit, retry_after_s=max(1, status.reset_s))
        return status

    def _has_changed(self, *, is_down: bool) -> bool:
        """Record whether Redis is down; return True, to one thread alone, if that has changed."""
        with self._lock:
            has_changed, self._is_down = self._is_down != is_down, is_down
        return has_changed

    def _counted(self, name: str, limit: int) -> tuple[bool, RateLimitStatus]:
        if self._limiter is None:  # it loads its scripts into Redis as it is made
            self._limiter = MovingWindowRateLimiter(RedisStorage("redis://", self._pool, key_prefix="atelier:limits"))
        item = RateLimitItemPerMinute(limit)
        admitted = self._limiter.hit(item, name)
        reset_at, remaining = self._limiter.get_window_stats(item, name)
        return admitted, RateLimitStatus(limit, max(0, remaining), math.ceil(max(0.0, reset_at - time.time())))
