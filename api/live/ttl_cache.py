"""A thread-safe cache whose entries expire after a fixed time, so that repeated requests share one lookup.

Invariant: no entry is returned after its time, or after it was forgotten.
"""

import threading
from collections.abc import Hashable
from typing import Generic, TypeVar

from cachetools import TTLCache

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

#: Most entries at once; the oldest go first.
_MAX_ENTRIES = 10_000


class TtlCache(Generic[Key, Value]):
    """Values by key; any number of threads may use it."""

    def __init__(self, ttl_s: float) -> None:
        """Keep each value for `ttl_s` seconds."""
        self._values: TTLCache[Key, Value] = TTLCache(_MAX_ENTRIES, ttl_s)
        self._lock = threading.Lock()

    def get(self, key: Key) -> Value | None:
        """Return the value of a key, or None."""
        with self._lock:
            return self._values.get(key)

    def keep(self, key: Key, value: Value) -> None:
        """Store a value, whose time starts now."""
        with self._lock:
            self._values[key] = value

    def forget(self, key: Key) -> None:
        """Remove a key, if it is there."""
        with self._lock:
            self._values.pop(key, None)

    def clear(self) -> None:
        """Remove everything."""
        with self._lock:
            self._values.clear()
