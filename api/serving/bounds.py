"""What one process allows its peers; `api.wsgi` says how much that is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Bounds:
    """How long peers may take, and how many of them there may be."""

    #: Time from the first sign of a request until its head is complete, in seconds.
    head_s: float
    #: Time that a peer may stall while its body is read or its answer is written, in seconds.
    stall_s: float
    #: Time that a connection without a request is kept, in seconds.
    idle_s: float
    #: Time that a stopping process may take to finish its requests, in seconds.
    grace_s: float
    #: Requests that are worked on at once, streams included.
    places: int
    #: Requests besides these that wait for their peers.
    most_waiting: int
    #: Open connections.
    connections: int
    #: The whole answers to a head that is not complete in time, and to one that is too large.
    late_head: bytes
    large_head: bytes

    @property
    def threads(self) -> int:
        """Threads that are enough for all requests that are worked on or wait for their peers."""
        return self.places + self.most_waiting
