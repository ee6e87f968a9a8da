"""What was found lately, kept for a moment, so that asking again and again costs no more than it must.

Invariant: nothing is returned that was kept longer ago than the moment allows, or before it was forgotten.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import Generic, TypeVar

from cachetools import TTLCache

Name = TypeVar("Name", bound=Hashable)
Found = TypeVar("Found")

#: How many things are kept at once; the oldest go first.
_MOST = 10_000


class Recent(Generic[Name, Found]):
    """Things by their names; any number of threads may ask."""

    def __init__(self, kept_s: float) -> None:
        """Keep each thing for `kept_s` seconds."""
        self._found: TTLCache[Name, Found] = TTLCache(_MOST, kept_s)
        self._lock = threading.Lock()

    def get(self, name: Name) -> Found | None:
        """Return what is kept by that name, or None."""
        with self._lock:
            return self._found.get(name)

    def keep(self, name: Name, found: Found) -> None:
        """Keep a thing from now on."""
        with self._lock:
            self._found[name] = found

    def forget(self, name: Name) -> None:
        """Keep nothing by that name."""
        with self._lock:
            self._found.pop(name, None)

    def clear(self) -> None:
        """Keep nothing of what was found so far."""
        with self._lock:
            self._found.clear()
