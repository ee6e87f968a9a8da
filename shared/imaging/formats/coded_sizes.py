"""How large a picture coded as HEVC or AV1 is by its own headers, whatever the boxes around it say.

A decoder allocates what the coded headers ask for, so a small box may hide a large picture.

Source: ITU-T H.265, sections 7.3.1 to 7.3.3; AV1 Bitstream Specification, sections 5.3 and 5.5.
"""

from collections.abc import Iterator

from shared.errors import CorruptImage

#: Units of a coded picture that are looked at: a photograph has a handful.
_MAX_UNITS = 4096
_SPS = 33
_SEQUENCE_HEADER = 1
Size = tuple[int, int]


class _Bits:
    """Reads bits; raises `CorruptImage` at the end."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def u(self, count: int) -> int:
        """Read an unsigned number of `count` bits."""
        self._left -= count
        if self._left < 0:
            raise CorruptImage
        return self._value >> self._left & (1 << count) - 1

    def ue(self) -> int:
        """Read a number in Exp-Golomb code, of at most 32 bits."""
        zeros = 0
        while not self.u(1):
            zeros += 1
            if zeros > 32:
                raise CorruptImage
        return (1 << zeros) - 1 + self.u(zeros)


def hevc_sizes(configuration: bytes, data: bytes) -> Iterator[Size]:
    """Yield the (width, height) that each sequence parameter set gives, of an `hvcC` box and the picture's bytes."""
    if len(configuration) < 23:
        raise CorruptImage
    at, units = 23, []
    for _ in range(configuration[22]):
        count = int.from_bytes(configuration[at + 1 : at + 3], "big")
        at += 3
        for _ in range(min(count, _MAX_UNITS)):
            length = int.from_bytes(configuration[at : at + 2], "big")
            units.append(configuration[at + 2 : at + 2 + length])
            at += 2 + length
    length_bytes = (configuration[21] & 3) + 1
    at = 0
    while at + length_bytes < len(data) and len(units) < _MAX_UNITS:
        length = int.from_bytes(data[at : at + length_bytes], "big")
        at += length_bytes
        units.append(data[at : at + min(length, 1024)])  # a slice of a megabyte is not copied
        at += length
    yield from (_size_of_sps(unit) for unit in units if len(unit) > 2 and unit[0] >> 1 & 63 == _SPS)


def _size_of_sps(unit: bytes) -> Size:
    bits = _Bits(unit[2:].replace(b"\0\0\3", b"\0\0"))
    bits.u(4)
    sub_layers = bits.u(3)
    bits.u(1 + 96)
    present = [(bits.u(1), bits.u(1)) for _ in range(sub_layers)]
    if sub_layers:
        bits.u(2 * (8 - sub_layers))
    for has_profile, has_level in present:
        bits.u(88 * has_profile + 8 * has_level)
    bits.ue()
    if bits.ue() == 3:
        bits.u(1)
    return bits.ue(), bits.ue()


def av1_sizes(data: bytes) -> Iterator[Size]:
    """Yield the largest (width, height) that each sequence header allows, of the bytes of a picture."""
    at = 0
    for _ in range(_MAX_UNITS):
        if at >= len(data):
            return
        head = data[at]
        at += 2 if head & 4 else 1
        length, at = _leb128(data, at) if head & 2 else (len(data) - at, at)
        if head >> 3 & 15 == _SEQUENCE_HEADER:
            yield _size_of_sequence(data[at : at + min(length, 1024)])
        at += length


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(8):
        if at >= len(data):
            raise CorruptImage
        value |= (data[at] & 127) << 7 * place
        at += 1
        if not data[at - 1] & 128:
            break
    return value, at


def _size_of_sequence(header: bytes) -> Size:
    bits = _Bits(header)
    bits.u(4)
    if bits.u(1):
        bits.u(5)
    else:
        _skip_operating_points(bits)
    across, down = bits.u(4) + 1, bits.u(4) + 1
    return bits.u(across) + 1, bits.u(down) + 1


def _skip_operating_points(bits: _Bits) -> None:
    delay_bits = 0
    if bits.u(1):
        bits.u(64)
        if bits.u(1):
            bits.ue()
        if bits.u(1):
            delay_bits = bits.u(5) + 1
            bits.u(32 + 5 + 5)
    has_display_delay = bits.u(1)
    for _ in range(bits.u(5) + 1):
        bits.u(12)
        if bits.u(5) > 7:
            bits.u(1)
        if delay_bits and bits.u(1):
            bits.u(2 * delay_bits + 1)
        if has_display_delay and bits.u(1):
            bits.u(4)
