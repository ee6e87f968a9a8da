"""A small HEVC encoder for tests: one intra picture whose blocks are all PCM, so that it is stored without loss.

Source: ITU-T H.265, sections 7.3 (syntax) and 9.3 (CABAC). There is no encoder of HEVC among the packages that a test
may use, and the files of real cameras are not ours to copy.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_BLOCK = 16
#: The range of the less probable value by state, in the last quarter: table 9-46.
_LESS_PROBABLE = [
    240, 227, 216, 205, 195, 185, 175, 166, 158, 150, 142, 135, 128, 122, 116, 110, 104, 99, 94, 89, 85, 80, 76, 72, 69,
    65, 62, 59, 56, 53, 50, 48, 45, 43, 41, 39, 37, 35, 33, 31, 30, 28, 27, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15,
    14, 14, 13, 12, 12, 11, 11, 10, 9,
]  # fmt: skip


class Bits:
    """A string of bits."""

    def __init__(self) -> None:
        self._bits: list[int] = []

    def u(self, value: int, count: int) -> "Bits":
        """Append an unsigned number of `count` bits."""
        self._bits += [value >> place & 1 for place in range(count - 1, -1, -1)]
        return self

    def ue(self, *values: int) -> "Bits":
        """Append numbers in Exp-Golomb code."""
        for value in values:
            count = (value + 1).bit_length()
            self.u(0, count - 1).u(value + 1, count)
        return self

    def aligned(self, first: int | None = 1) -> "Bits":
        """Append a bit, or none, then zeros up to the next byte."""
        if first is not None:
            self.u(first, 1)
        return self.u(0, -len(self._bits) % 8)

    def append(self, data: bytes) -> "Bits":
        """Append whole bytes."""
        self._bits += np.unpackbits(np.frombuffer(data, np.uint8)).tolist()
        return self

    def packed(self) -> bytes:
        """Return whole bytes."""
        return np.packbits(self._bits).tobytes() if self._bits else b""


def nal(kind: int, payload: bytes) -> bytes:
    """A NAL unit: its header, and its payload with emulation prevention."""
    escaped, zeros = bytearray(), 0
    for byte in payload:
        if zeros == 2 and byte <= 3:
            escaped.append(3)
            zeros = 0
        escaped.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes([kind << 1, 1]) + bytes(escaped)


def parameter_sets(width: int, height: int, *, chroma: int) -> list[bytes]:
    """The VPS, SPS and PPS of a picture; `chroma` is 0 for grey, 1 for halved chroma, 3 for full."""
    vps = Bits().u(0, 4).u(3, 2).u(0, 6).u(0, 3).u(1, 1).u(0xFFFF, 16)
    _profile(vps)
    vps.u(1, 1).ue(0, 0, 0).u(0, 6).ue(0).u(0, 1).u(0, 1).aligned()
    sps = Bits().u(0, 4).u(0, 3).u(1, 1)
    _profile(sps)
    padded = _padded(width), _padded(height)
    sps.ue(0, chroma)
    if chroma == 3:
        sps.u(0, 1)
    step = 2 if chroma == 1 else 1
    sps.ue(*padded).u(1, 1).ue(0, (padded[0] - width) // step, 0, (padded[1] - height) // step)
    sps.ue(0, 0, 0).u(1, 1).ue(0, 0, 0)  # depths of 8 bits, order of output
    sps.ue(1, 0, 0, 2, 0, 0).u(0, 1).u(0, 1).u(0, 1)  # blocks of 16, transforms of 4 to 16
    sps.u(1, 1).u(7, 4).u(7, 4).ue(0, 1).u(1, 1)  # PCM of 8 bits in blocks of 8 to 16
    sps.ue(0).u(0, 1).u(0, 1).u(0, 1).u(0, 1).u(0, 1).aligned()
    pps = Bits().ue(0, 0).u(0, 2).u(0, 3).u(0, 2).ue(0, 0, 0).u(0, 3).ue(0, 0).u(0, 4).u(0, 2)
    pps.u(0, 1).u(1, 1).u(0, 1).u(1, 1).u(0, 2).ue(0).u(0, 2).aligned()
    return [nal(32, vps.packed()), nal(33, sps.packed()), nal(34, pps.packed())]


def slice_of(planes: Sequence[NDArray[np.uint8]]) -> bytes:
    """The slice of a whole picture, `planes` of `[height, width]`, as a NAL unit; chroma may be halved."""
    sides = [_padded(side) for side in planes[0].shape]
    steps = [2 if plane.shape != planes[0].shape else 1 for plane in planes]
    padded = [
        np.pad(plane, [(0, full // step - side) for full, side in zip(sides, plane.shape, strict=True)], mode="edge")
        for plane, step in zip(planes, steps, strict=True)
    ]
    header = Bits().u(1, 1).u(0, 1).ue(0, 2, 0).aligned()
    coded = _Cabac()
    corners = [(y, x) for y in range(0, sides[0], _BLOCK) for x in range(0, sides[1], _BLOCK)]
    for number, (y, x) in enumerate(corners):
        coded.likely()
        coded.end(1)
        for plane, step in zip(padded, steps, strict=True):
            coded.samples(plane[y // step : (y + _BLOCK) // step, x // step : (x + _BLOCK) // step].tobytes())
        coded.end(int(number == len(corners) - 1))
    return nal(20, header.packed() + coded.packed())


def _padded(side: int) -> int:
    return -(-side // _BLOCK) * _BLOCK


def _profile(bits: Bits) -> None:
    """A profile with range extensions, level 6.2."""
    bits.u(0, 3).u(4, 5).u(1 << 27, 32).u(8, 4).u(0, 32).u(0, 12).u(186, 8)


class _Cabac:
    """The arithmetic coder, as far as it is needed: one context, whose bin always has its more probable value."""

    def __init__(self) -> None:
        self._out = Bits()
        self._state = 0
        self._begin()

    def _begin(self) -> None:
        self._low, self._range, self._first, self._pending = 0, 510, True, 0

    def likely(self) -> None:
        """Code the bin 1 of `part_mode`; the range is in its last quarter, since a block of samples begins anew."""
        self._range -= _LESS_PROBABLE[self._state]
        self._state = min(self._state + 1, len(_LESS_PROBABLE) - 1)
        self._renormalize()

    def end(self, value: int) -> None:
        """Code a terminating bin; 1 flushes the coder and begins anew."""
        self._range -= 2
        if not value:
            self._renormalize()
            return
        self._low += self._range
        self._range = 2
        self._renormalize()
        self._put(self._low >> 9 & 1)
        self._out.u(self._low >> 7 & 3 | 1, 2)
        self._begin()

    def samples(self, data: bytes) -> None:
        """Append the samples of a block."""
        self._out.aligned(first=None).append(data)

    def packed(self) -> bytes:
        """Return whole bytes."""
        return self._out.aligned(first=None).packed()

    def _renormalize(self) -> None:
        while self._range < 256:
            if self._low < 256:
                self._put(0)
            elif self._low >= 512:
                self._low -= 512
                self._put(1)
            else:
                self._low -= 256
                self._pending += 1
            self._range <<= 1
            self._low <<= 1

    def _put(self, bit: int) -> None:
        if self._first:
            self._first = False
        else:
            self._out.u(bit, 1)
        while self._pending:
            self._out.u(1 - bit, 1)
            self._pending -= 1
