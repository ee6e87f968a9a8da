"""PNG files made chunk by chunk, in any depth and with any colours."""

import struct
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tests.hostile.image_headers import chunk

GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
#: Chromaticities of white, red, green and blue.
DISPLAY_P3 = (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
ADOBE_RGB = (0.3127, 0.329, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)


def png(samples: NDArray[np.integer], *chunks: bytes, kind: int = RGB, depth: int = 8, after: bytes = b"") -> bytes:
    """A PNG of samples `[height, width(, channels)]`, in the depth's own range, with chunks before and after them."""
    height, width = samples.shape[:2]
    rows = samples.reshape(height, -1)
    if depth == 16:
        packed = rows.astype(">u2").view(np.uint8).reshape(height, -1)
    else:
        bits = np.unpackbits(rows.astype(np.uint8)[..., np.newaxis], axis=-1)[..., 8 - depth :]
        packed = np.packbits(bits.reshape(height, -1), axis=-1)
    raw = np.pad(packed, [(0, 0), (1, 0)]).tobytes()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(raw))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + data + after + chunk(b"IEND", b"")


def gama(gamma: float) -> bytes:
    """A chunk of gamma, such as 1 / 2.2."""
    return chunk(b"gAMA", struct.pack(">I", round(gamma * 100_000)))


def chrm(chromaticities: Sequence[float]) -> bytes:
    """A chunk of chromaticities."""
    return chunk(b"cHRM", struct.pack(">8I", *(round(value * 100_000) for value in chromaticities)))


def cicp(primaries: int, transfer: int, matrix: int = 0, full_range: int = 1) -> bytes:
    """A chunk of code points."""
    return chunk(b"cICP", bytes([primaries, transfer, matrix, full_range]))


def iccp(profile: bytes) -> bytes:
    """A chunk of a profile."""
    return chunk(b"iCCP", b"a\0\0" + zlib.compress(profile))


def trns(*samples: int) -> bytes:
    """A chunk of the one transparent colour."""
    return chunk(b"tRNS", struct.pack(f">{len(samples)}H", *samples))


SRGB = chunk(b"sRGB", b"\0")


def damaged(made: bytes) -> bytes:
    """A chunk with another checksum."""
    return made[:-4] + bytes(byte ^ 255 for byte in made[-4:])
