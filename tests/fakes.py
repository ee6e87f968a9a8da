"""Stand-ins that keep the same contract as the real thing, which `tests/contract` proves."""

from __future__ import annotations

import time
from collections.abc import Iterator

from shared.errors import NotFound
from shared.storage import checked_key


class MemoryImageStore:
    """An `ImageStore` in a dictionary."""

    def __init__(self) -> None:
        self._bytes: dict[str, bytes] = {}
        self._written_at: dict[str, float] = {}

    def put(self, key: str, data: bytes) -> None:
        self._bytes[checked_key(key)] = bytes(data)
        self._written_at[key] = time.monotonic()

    def get(self, key: str) -> bytes:
        try:
            return self._bytes[checked_key(key)]
        except KeyError:
            raise NotFound(key=key) from None

    def exists(self, key: str) -> bool:
        return checked_key(key) in self._bytes

    def delete(self, key: str) -> None:
        self._bytes.pop(checked_key(key), None)
        self._written_at.pop(key, None)

    def list(self, prefix: str) -> Iterator[str]:
        yield from sorted(key for key in self._bytes if key.startswith(prefix))

    def old(self, older_than_s: float) -> Iterator[str]:
        now = time.monotonic()
        yield from [key for key, at in self._written_at.items() if now - at >= older_than_s]

    def discard_unfinished(self, older_than_s: float) -> int:
        """Nothing is ever half-written."""
        return 0

    def check(self, size_bytes: int = 5) -> None:
        """Memory can always be written."""
