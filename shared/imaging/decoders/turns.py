"""Turns at something of which there is a fixed number, one owner after the other.

Invariant: an owner that asks for many turns holds up only itself: it has at most `per_owner` at once, and of those who
wait, the next turn goes to the owner who has waited longest since its last.
"""

import threading
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager

from shared.errors import DecoderUnavailable


class FairTurns:
    """Any number of threads may ask for turns."""

    def __init__(self, total: int, *, per_owner: int, max_waiting: int) -> None:
        """Give `total` turns at once, `per_owner` to one owner, of which `max_waiting` may wait for more."""
        self._free, self._per_owner, self._max_waiting = total, per_owner, max_waiting
        self._lock = threading.Lock()
        self._held: Counter[str] = Counter()
        #: The events that wake those who wait, by owner; the owner to be served first stands first.
        self._waiting: dict[str, deque[threading.Event]] = {}

    @contextmanager
    def turn(self, owner: str, *, wait_s: float) -> Iterator[None]:
        """Hold a turn; raise `DecoderUnavailable` after `wait_s`, or at once if too many of this owner wait."""
        woken = threading.Event()
        with self._lock:
            queue = self._waiting.setdefault(owner, deque())
            if len(queue) >= self._max_waiting:
                raise DecoderUnavailable(f"{len(queue)} pictures of yours are waiting to be decoded; send fewer.")
            queue.append(woken)
            self._hand_out()
        if not woken.wait(wait_s):
            self._give_up(owner, woken)
        try:
            yield
        finally:
            with self._lock:
                self._free += 1
                self._held -= Counter([owner])
                self._hand_out()

    def _hand_out(self) -> None:
        """Give free turns to those who wait and may have one."""
        for owner in list(self._waiting):
            queue = self._waiting[owner]
            if queue and self._free and self._held[owner] < self._per_owner:
                queue.popleft().set()
                self._free -= 1
                self._held[owner] += 1
                del self._waiting[owner]  # to stand last, if more of it wait
                if queue:
                    self._waiting[owner] = queue
            elif not queue:
                del self._waiting[owner]

    def _give_up(self, owner: str, woken: threading.Event) -> None:
        """Stop waiting and raise, unless the turn came at the last moment."""
        with self._lock:
            if woken.is_set():
                return
            self._waiting[owner].remove(woken)
            self._hand_out()
        raise DecoderUnavailable("Too many pictures are being decoded; try again in a moment.")
