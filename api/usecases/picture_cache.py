"""Encoded pictures in memory, so that one that is asked for again is not decoded, mixed and encoded again.

Those unused for longest go first. A key names everything that its bytes depend on, so that no entry is ever stale;
whether its files are still there is for the caller to check.
"""

import threading
from collections.abc import Hashable

from cachetools import LRUCache

#: What all entries may take together, and one of them, in bytes: hundreds of previews, and no large result.
_MAX_BYTES, _MAX_ENTRY_BYTES = 32 * 2**20, 2 * 2**20


class PictureCache:
    """Encoded pictures by key; any number of threads may use it."""

    def __init__(self) -> None:
        self._pictures: LRUCache[Hashable, bytes] = LRUCache(_MAX_BYTES, getsizeof=len)
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> bytes | None:
        """Return a picture that was kept, or None."""
        with self._lock:
            return self._pictures.get(key)

    def keep(self, key: Hashable, picture: bytes) -> None:
        """Keep a picture, unless it is large."""
        if len(picture) <= _MAX_ENTRY_BYTES:
            with self._lock:
                self._pictures[key] = picture
