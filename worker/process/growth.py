"""How much a painting process has grown since it was warm.

TensorFlow keeps what it prepared for each shape of picture for good, and only the end of the process frees it. The
measure is growth, since what a process needs at least may already be more than any limit.
"""


class Growth:
    """Watches one process by what it holds between two messages."""

    def __init__(self, limit_bytes: int) -> None:
        """Allow growth by `limit_bytes`; 0 allows any."""
        self._limit_bytes = limit_bytes
        self._warm_bytes = self._held_bytes = 0

    def is_over(self, held_bytes: int) -> bool:
        """Note what is held, and tell whether that is too much; 0 is unknown, and the first other number is warm."""
        if held_bytes <= 0:
            return False
        self._warm_bytes = self._warm_bytes or held_bytes
        self._held_bytes = held_bytes
        return 0 < self._limit_bytes < held_bytes - self._warm_bytes

    @property
    def numbers(self) -> dict[str, int]:
        """For the log: what was held when warm, and last; the limit."""
        return {
            "warm_bytes": self._warm_bytes,
            "held_bytes": self._held_bytes,
            "limit_bytes": self._limit_bytes,
        }
