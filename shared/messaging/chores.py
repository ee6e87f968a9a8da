"""Which maintenance tasks are broken, told over Redis, so that the API can show it.

Each task counts its unexpected errors, and is marked broken until it works again or nobody has renewed the mark for a
while. Expected errors, such as a lost database, show elsewhere.

Invariant: every key expires, and losing Redis loses only what is shown; the log of maintenance has it all.
"""

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from redis import Redis, RedisError

_BROKEN, _ERRORS = "atelier:maintenance:broken", "atelier:maintenance:errors"
#: How long a mark is believed without being renewed, in seconds: longer than any pause of a broken task.
STALE_S = 150.0
#: How long the counts are kept after the last error, in seconds.
_COUNTED_S = 30 * 86_400


class BrokenTasks:
    """Writes and reads which maintenance tasks are broken; any number of processes may."""

    def __init__(self, redis: Redis, *, clock: Callable[[], float] = time.time) -> None:
        """Use `redis`, created by `shared.messaging.progress.connect`."""
        self._redis = redis
        self._clock = clock

    def mark(self, task: str, reason: str) -> None:
        """Count an unexpected error of a task and mark it broken; without Redis, do nothing."""
        with suppress(RedisError):
            pipe = self._redis.pipeline(transaction=False)
            pipe.hset(_BROKEN, task, json.dumps({"at": self._clock(), "reason": reason}))
            pipe.expire(_BROKEN, int(STALE_S))
            pipe.hincrby(_ERRORS, task, 1)
            pipe.expire(_ERRORS, _COUNTED_S)
            pipe.execute()

    def clear(self, task: str) -> None:
        """Note that a task works again; without Redis, do nothing, as its mark goes stale."""
        with suppress(RedisError):
            self._redis.hdel(_BROKEN, task)

    def current(self) -> dict[str, str]:
        """Return the broken tasks with the reason of each; raise `RedisError`."""
        marks = {task: json.loads(mark) for task, mark in _decoded(self._redis.hgetall(_BROKEN)).items()}
        since = self._clock() - STALE_S
        return {task: mark["reason"] for task, mark in sorted(marks.items()) if mark["at"] >= since}

    def counts(self) -> dict[str, int]:
        """Return how many unexpected errors each task has had; raise `RedisError`."""
        return {task: int(count) for task, count in sorted(_decoded(self._redis.hgetall(_ERRORS)).items())}


def _decoded(fields: Any) -> Mapping[str, str]:
    return {name.decode(): value.decode() for name, value in fields.items()}
