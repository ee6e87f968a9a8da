"""Colours that a file describes by numbers, as an ICC profile: primaries and transfer function.

Source: ITU-T H.273 for code points and their values; ICC.1:2010 for the profile, matrix with parametric curves, and
its adaptation to D50 by Bradford's matrix.
"""

import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.errors import UnsupportedImage

#: Chromaticities x, y of white, red, green and blue.
Primaries = tuple[float, float, float, float, float, float, float, float]
#: From encoded X to light Y: (g, a, b, c, d) of Y = (a·X + b)^g from d on, and c·X below it.
Curve = tuple[float, float, float, float, float]

_D65 = (0.3127, 0.3290)
SRGB_PRIMARIES: Primaries = (*_D65, 0.640, 0.330, 0.300, 0.600, 0.150, 0.060)
SRGB_CURVE: Curve = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_BT601: Primaries = (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070)
#: Of displays, BT.1886, as browsers show it; cameras' own curve is another.
_VIDEO_CURVE: Curve = (2.4, 1, 0, 0, 0)

#: Code points of H.273: BT.709, BT.470, BT.601, film, BT.2020, DCI-P3, Display P3 and EBU 3213.
_PRIMARIES: dict[int, Primaries] = {
    1: SRGB_PRIMARIES,
    4: (0.310, 0.316, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: _BT601,
    7: _BT601,
    8: (0.310, 0.316, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049),
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    22: (*_D65, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077),
}
_CURVES: dict[int, Curve] = {
    **dict.fromkeys((1, 6, 14, 15), _VIDEO_CURVE),
    4: (2.2, 1, 0, 0, 0),
    5: (2.8, 1, 0, 0, 0),
    7: (1 / 0.45, 1 / 1.1115, 0.1115 / 1.1115, 1 / 4, 0.0913),
    8: (1, 1, 0, 0, 0),
    13: SRGB_CURVE,
}
#: Transfer functions of pictures brighter than white, which have no counterpart in sRGB.
_HDR = {16: "PQ", 18: "HLG"}

_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
#: D50 as profiles have it.
_D50 = np.array([0.9642, 1.0, 0.8249])


class Colours(NamedTuple):
    """What colours a file's values stand for."""

    primaries: Primaries = SRGB_PRIMARIES
    curve: Curve = SRGB_CURVE

    def profile(self, *, grey: bool) -> bytes | None:
        """Return them as an ICC profile for grey or for RGB; None for sRGB, which needs none."""
        if self.curve == SRGB_CURVE and (grey or self.primaries == SRGB_PRIMARIES):
            return None
        return _grey_profile(self.curve) if grey else _rgb_profile(self)


def by_code_points(primaries: int, transfer: int) -> Colours | None:
    """Return the colours of H.273's code points; None if they say nothing that we know.

    Raises `UnsupportedImage` for HDR (PQ and HLG).
    """
    if transfer in _HDR:
        raise UnsupportedImage(
            f"The image is HDR ({_HDR[transfer]}), which is not supported; export it in standard dynamic range.",
            transfer=_HDR[transfer],
        )
    if primaries not in _PRIMARIES or transfer not in _CURVES:
        return None
    return Colours(_PRIMARIES[primaries], _CURVES[transfer])


def by_gamma(gamma: float, primaries: Primaries | None) -> Colours | None:
    """Return the colours of a PNG's `gamma`, such as 1/2, and chromaticities; None if they make no sense."""
    colours = Colours(primaries or SRGB_PRIMARIES, (1 / gamma, 1, 0, 0, 0))
    return colours if np.isfinite(_matrix(colours.primaries)).all() else None


def _rgb_profile(colours: Colours) -> bytes:
    columns = _matrix(colours.primaries).T
    tags = {b"rXYZ": _xyz(columns[0]), b"gXYZ": _xyz(columns[1]), b"bXYZ": _xyz(columns[2])}
    return _profile(b"RGB ", tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _parametric(colours.curve)))


def _grey_profile(curve: Curve) -> bytes:
    return _profile(b"GRAY", {b"kTRC": _parametric(curve)})


def _matrix(primaries: Primaries) -> NDArray[np.float64]:
    """Return the matrix from linear RGB to XYZ relative to D50; not finite if the primaries make no sense."""
    white, *colours = np.reshape(primaries, (4, 2))
    with np.errstate(all="ignore"):
        columns = np.array([_to_xyz(xy) for xy in colours]).T
        white_xyz = _to_xyz(white)
        try:
            to_xyz = columns * np.linalg.solve(columns, white_xyz)
            cones = _BRADFORD @ _D50 / (_BRADFORD @ white_xyz)
        except np.linalg.LinAlgError:
            return np.full((3, 3), np.nan)
        return np.asarray(np.linalg.inv(_BRADFORD) @ (cones[:, np.newaxis] * (_BRADFORD @ to_xyz)))


def _to_xyz(xy: NDArray[np.float64]) -> NDArray[np.float64]:
    x, y = xy
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """Return a profile of version 4; equal tags share their data."""
    tags = {b"desc": _text("Described by the image"), b"cprt": _text("None"), b"wtpt": _xyz(_D50)} | tags
    at = 128 + 4 + 12 * len(tags)
    places, data = {}, b""
    for content in dict.fromkeys(tags.values()):
        places[content] = at + len(data)
        data += content
    table = b"".join(struct.pack(">4sII", name, places[content], len(content)) for name, content in tags.items())
    body = struct.pack(">I", len(tags)) + table + data
    white = _fixed(*_D50)
    head = struct.pack(">I4sI4s4s4s12s4s28x", 128 + len(body), b"", 0x04200000, b"mntr", space, b"XYZ ", b"", b"acsp")
    return head + white + bytes(48) + body


def _parametric(curve: Curve) -> bytes:
    return b"para" + struct.pack(">4xHxx", 3) + _fixed(*curve)


def _xyz(values: NDArray[np.float64]) -> bytes:
    return b"XYZ " + bytes(4) + _fixed(*values)


def _text(text: str) -> bytes:
    encoded = text.encode("utf-16-be")
    padded = encoded + bytes(-len(encoded) % 4)
    return b"mluc" + struct.pack(">4xII2s2sII", 1, 12, b"en", b"US", len(encoded), 28) + padded


def _fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(min(max(value, -32_768), 32_767) * 65_536)) for value in values)
