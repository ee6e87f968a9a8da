"""Who may work: each request needs a place, which it gives back for as long as it waits for its peer.

Peers that are waited for hold threads, so there is a bound for these too. When it is reached, the peer that is furthest
behind is ended, of the address with the most such peers: whoever opens hundreds of slow connections loses those, and
an honest upload goes on.

Invariant: requests that come back from waiting go before new ones. So `places + most_waiting` threads are enough: there
is one for each request that gets a place.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol


class Peer(Protocol):
    """A peer that can be waited for."""

    address: str

    @property
    def debt_s(self) -> float:
        """How far behind it is."""

    def end_wait(self) -> None:
        """End the peer, and with that the wait for it; another thread calls this."""


class Places:
    """The places of one process; any thread may call this."""

    def __init__(self, places: int, most_waiting: int, on_free: Callable[[], None]) -> None:
        """Start with all places free; `on_free` is called after a place became free for a new request."""
        self._free, self._most_waiting, self._on_free = places, most_waiting, on_free
        self._changed = threading.Condition()
        self._waiting: set[Peer] = set()
        #: Requests that no longer wait for their peers and want their places again.
        self._returning = 0

    def enter(self) -> bool:
        """Take a place for a new request, if there is one."""
        with self._changed:
            if not self._free or self._returning:
                return False
            self._free -= 1
            return True

    def leave(self) -> None:
        """Give a place back."""
        with self._changed:
            self._free += 1
            self._changed.notify()
        self._on_free()

    @contextmanager
    def aside(self, peer: Peer) -> Iterator[None]:
        """Give back the place of this thread's request while it waits for its peer in the block.

        It keeps the place if there are too many waits and none that can be ended.
        """
        if not self._step_aside(peer):
            yield
            return
        try:
            yield
        finally:
            self._step_back(peer)

    def end_waits(self) -> None:
        """End all peers that are waited for: the process is stopping."""
        with self._changed:
            for peer in list(self._waiting):
                self._end(peer)

    def _step_aside(self, peer: Peer) -> bool:
        with self._changed:
            if len(self._waiting) >= self._most_waiting:
                if not self._waiting:
                    return False
                self._end(self._worst())
            self._waiting.add(peer)
            self._free += 1
            self._changed.notify()
        self._on_free()
        return True

    def _step_back(self, peer: Peer) -> None:
        with self._changed:
            if peer in self._waiting:  # or it was ended, and is counted already
                self._waiting.remove(peer)
                self._returning += 1
            self._changed.wait_for(lambda: self._free)
            self._free -= 1
            self._returning -= 1
            more = self._free > 0 and not self._returning
        if more:
            self._on_free()

    def _worst(self) -> Peer:
        crowds = Counter(peer.address for peer in self._waiting)
        return max(self._waiting, key=lambda peer: (crowds[peer.address], peer.debt_s))

    def _end(self, peer: Peer) -> None:
        self._waiting.remove(peer)
        self._returning += 1
        peer.end_wait()
