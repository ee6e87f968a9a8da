"""What decoding may take: set by the operator for the largest picture, and in proportion for smaller ones."""

import math
from dataclasses import dataclass
from typing import NamedTuple

#: A picture with more pixels is large. A telephone's usual 12 megapixels are not.
LARGE_PX = 2**24
#: Processor time of the smallest picture, in seconds: for its header, and for a busy machine.
_LEAST_S = 1.0
#: Memory of the smallest picture, in bytes: the interpreter with Pillow, and what a decoder holds for its own purposes.
_LEAST_BYTES = 384 * 2**20
#: Memory per pixel, in bytes. Measured: deep grey takes the most, 40, while it is converted to floats.
_BYTES_PER_PX = 48
#: Memory per byte of the file: the file itself, and the copies that decoders make of it.
_BYTES_PER_BYTE = 4


@dataclass(frozen=True)
class Limits:
    """What an operator allows; each field is the setting of that name."""

    max_upload_bytes: int
    max_upload_px: int
    #: Children that decode small pictures at once.
    decoders: int
    #: Processor time for a picture of `max_upload_px`, in seconds.
    decode_s: float
    #: Memory of one child, in bytes; 0 allows what a picture of `max_upload_px` takes.
    decode_memory_bytes: int


@dataclass(frozen=True)
class Budget:
    """What a child may take for a picture, by its pixels.

    `max_px` is the largest picture, whose share is given to those that claim to be larger still. With `returns_larger`,
    a child hands these back unread, for another to decode.
    """

    max_px: int
    seconds_per_px: float
    max_memory_bytes: int
    returns_larger: bool = False

    def seconds(self, px: int) -> float:
        """Return the processor time for a picture of that many pixels."""
        return _LEAST_S + self.seconds_per_px * min(px, self.max_px)

    def memory_bytes(self, px: int, file_bytes: int = 0) -> int:
        """Return the memory for a picture of that many pixels in a file of that size."""
        needed = _LEAST_BYTES + _BYTES_PER_PX * min(px, self.max_px) + _BYTES_PER_BYTE * file_bytes
        return min(needed, self.max_memory_bytes)


class ChildLimits(NamedTuple):
    """What the kernel allows a child in all, whatever becomes of it."""

    memory_bytes: int
    #: Processor time of its whole life, in whole seconds.
    lifetime_s: int
    #: How far it stands back for other processes, from 0 to 19.
    niceness: int


def child_limits(budget: Budget, *, niceness: int, max_file_bytes: int) -> ChildLimits:
    """Return the limits of a child that decodes many pictures within `budget`."""
    memory_bytes = budget.memory_bytes(budget.max_px, max_file_bytes)
    return ChildLimits(memory_bytes, math.ceil(4 * budget.seconds(budget.max_px)), niceness)
