"""How much longer a peer may keep a thread waiting.

Each wait adds to a peer's debt, and each byte it sends or takes pays some of it back: a peer that moves
`BYTES_PER_S` or more never falls behind, and one that moves less is out of time after `stall_s`, however it spreads
its bytes. Only waiting for the peer counts, never the server's own work.

Invariant: there is no credit, so that a fast start buys no time to stall later.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: What a peer must move on average while it is waited for.
BYTES_PER_S = 1024


class Pace:
    """The waits for one peer in one direction; one thread waits, and others may look."""

    def __init__(self, stall_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Allow `stall_s` of debt."""
        self._stall_s, self._clock = stall_s, clock
        self._debt_s = 0.0
        self._waits_since: float | None = None

    @property
    def allows_waits(self) -> bool:
        """Whether the peer had any time."""
        return self._stall_s > 0

    @property
    def debt_s(self) -> float:
        """How far behind the peer is, the present wait included."""
        since = self._waits_since
        return self._debt_s + (0.0 if since is None else self._clock() - since)

    @property
    def left_s(self) -> float:
        """How long the next wait may take."""
        return max(0.0, self._stall_s - self._debt_s)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the block as a wait."""
        self._waits_since = began_at = self._clock()
        try:
            yield
        finally:
            self._debt_s += self._clock() - began_at
            self._waits_since = None

    def moved(self, count: int) -> None:
        """Count bytes that the peer sent or took."""
        self._debt_s = max(0.0, self._debt_s - count / BYTES_PER_S)
