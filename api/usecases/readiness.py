"""Whether this process can serve requests, found out at most once a second, however many ask.

Anyone may ask without a key, and each probe writes a file and takes a connection to the database, so requests share
one: those that come while it is made wait for it.
"""

import threading
import time
from collections.abc import Callable

from redis import RedisError

from api.schemas.admin import PartView, ReadinessView
from shared.db.base import Database
from shared.errors import AtelierError
from shared.messaging.chores import BrokenTasks
from shared.messaging.progress import RedisProgress
from shared.storage.store import ImageStore

#: How long one probe answers everybody, in seconds.
_FRESH_S = 1.0


class Readiness:
    """Probes the database, storage, Redis and what is known of maintenance."""

    def __init__(
        self,
        database: Database,
        store: ImageStore,
        progress: RedisProgress,
        broken_tasks: BrokenTasks,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Probe these; nothing is probed before the first request."""
        self._database, self._store, self._progress, self._broken_tasks = database, store, progress, broken_tasks
        self._clock = clock
        self._lock = threading.Lock()
        self._view: ReadinessView | None = None
        self._probed_at = 0.0

    def get(self) -> ReadinessView:
        """Return what was found within the last second, or by a probe made now."""
        with self._lock:
            if self._view is None or self._clock() - self._probed_at >= _FRESH_S:
                self._view = self._probe()
                self._probed_at = self._clock()
            return self._view

    def _probe(self) -> ReadinessView:
        parts = {
            "database": _tried(self._database.check),
            "storage": _tried(self._store.check),
            "redis": _tried(self._progress.check),
        }
        if parts["redis"].ok:  # which alone knows of it
            parts["maintenance"] = _tried(self._check_maintenance)
        needed = parts["database"].ok and parts["storage"].ok
        ready = all(part.ok for part in parts.values())
        return ReadinessView(state="ready" if ready else "degraded" if needed else "unavailable", parts=parts)

    def _check_maintenance(self) -> str | None:
        """Say which tasks of maintenance are broken, if any."""
        broken = self._broken_tasks.current()
        return ", ".join(f"{task}: {reason}" for task, reason in broken.items()) or None


def _tried(check: Callable[[], str | None]) -> PartView:
    """Time a check, which raises or returns what is broken."""
    started = time.perf_counter()
    try:
        reason, ok = check(), True
    except (AtelierError, RedisError):
        reason, ok = None, False
    took_ms = round((time.perf_counter() - started) * 1000, 2)
    return PartView(ok=ok and reason is None, latency_ms=took_ms, reason=reason)
