"""Permits shared between owners: for event streams and long polls, and for the calls of webhooks.

Each permit stands for a thread that its holder may occupy for long. Whoever wants many gets many while others want
none, and never all: how many an owner may hold shrinks with what is left.

Invariant: an owner never takes more than it leaves free, so an owner who has none finds one.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class Shares:
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
            if not self._has_room(owner):
                return False
            self._free -= 1
            self._held[owner] += 1
            return True

    def give_back(self, owner: str) -> None:
        """Return a permit of an owner's."""
        with self._lock:
            self._free += 1
            self._held -= Counter([owner])  # forgets an owner who holds none

    def has_room(self, owner: str) -> bool:
        """Return whether an owner could take a permit now."""
        with self._lock:
            return self._has_room(owner)

    def held_by(self, owner: str) -> int:
        """Return how many permits an owner holds."""
        with self._lock:
            return self._held[owner]

    @property
    def in_use(self) -> bool:
        """Whether anyone holds a permit."""
        with self._lock:
            return bool(self._held)

    @contextmanager
    def permit(self, owner: str) -> Iterator[bool]:
        """Hold a permit, if there is one; say whether there is."""
        taken = self.take(owner)
        try:
            yield taken
        finally:
            if taken:
                self.give_back(owner)

    def _has_room(self, owner: str) -> bool:
        held = self._held[owner]
        return self._free > 0 and (held == 0 or held + 1 <= self._free - 1)
