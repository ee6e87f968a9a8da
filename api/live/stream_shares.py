"""Permits for event streams, long polls and downloads that are made while they are sent, shared between owners.

Each permit stands for a thread that its holder occupies for minutes. Whoever wants many gets many while others want
none, and never all: how many an owner may hold shrinks with what is left.

Invariant: an owner never takes more than it leaves free, so an owner who has none finds one.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class StreamShares:
    """A fixed number of permits; any number of threads may take and return them."""

    def __init__(self, total: int) -> None:
        """Start with `total` free permits."""
        self._free = total
        self._held: Counter[str] = Counter()
        self._lock = threading.Lock()

    def take(self, owner: str) -> bool:
        """Take a permit for an owner; return False if it would then hold more than are left, or if none is left.

        An owner without a permit may take the last one.
        """
        with self._lock:
            held = self._held[owner]
            if self._free == 0 or (held and held + 1 > self._free - 1):
                return False
            self._free -= 1
            self._held[owner] += 1
            return True

    def give_back(self, owner: str) -> None:
        """Return a permit of an owner's."""
        with self._lock:
            self._free += 1
            self._held -= Counter([owner])  # forgets an owner who holds none

    def held_by(self, owner: str) -> int:
        """Return how many permits an owner holds."""
        with self._lock:
            return self._held[owner]

    @contextmanager
    def permit(self, owner: str) -> Iterator[bool]:
        """Hold a permit, if there is one; say whether there is."""
        taken = self.take(owner)
        try:
            yield taken
        finally:
            if taken:
                self.give_back(owner)
