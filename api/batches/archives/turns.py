"""How many archives an API process handles at once, and how many of one owner.

Invariant: an owner that sends many archives holds up only itself: it may send fewer than are read at once, and those of
others wait no longer than reading one takes.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from shared.errors import TooManyArchives

#: Archives that are read at once: each may take a processor, and the memory of a picture and a dictionary.
READING = 4
#: Archives that one owner may send at once, including those that wait to be read.
PER_OWNER = READING - 1
#: Longest wait to be read, and how often to look whether the client still waits too, in seconds.
_WAIT_S, _LOOK_S = 60.0, 0.25


class ArchiveTurns:
    """The turns of one process; any number of threads may ask for them."""

    def __init__(self, *, wait_s: float = _WAIT_S) -> None:
        """Let an archive that was received wait at most `wait_s` to be read."""
        self._wait_s = wait_s
        self._lock = threading.Lock()
        self._sent: Counter[str] = Counter()
        self._reading = threading.BoundedSemaphore(READING)

    @contextmanager
    def sending(self, owner: str) -> Iterator[None]:
        """Count an archive from its first byte on; raise `TooManyArchives` if its owner sends as many as it may."""
        with self._lock:
            if self._sent[owner] >= PER_OWNER:
                raise TooManyArchives(f"You are sending {PER_OWNER} archives already; wait until one is done.")
            self._sent[owner] += 1
        try:
            yield
        finally:
            with self._lock:
                self._sent -= Counter([owner])

    @contextmanager
    def reading(self, attend: Callable[[], None]) -> Iterator[None]:
        """Hold a turn to read an archive; raise `TooManyArchives` if none is free for long, or what `attend` does."""
        deadline = time.monotonic() + self._wait_s
        while not self._reading.acquire(timeout=_LOOK_S):
            attend()
            if time.monotonic() > deadline:
                raise TooManyArchives("Too many archives are being read; try again in a moment.")
        try:
            yield
        finally:
            self._reading.release()
