"""Writes TIFFs of eight or sixteen bits per channel, compressed without loss, with a colour profile and metadata.

Pillow writes no colours of sixteen bits, and tifffile no Exif, so the strips are written here and Pillow writes the
directories. Source: TIFF 6.0, sections 2, 4 and 14; Adobe Photoshop TIFF Technical Notes for the compression.
"""

import struct
import zlib
from collections.abc import Iterator
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray
from PIL.TiffImagePlugin import ImageFileDirectory_v2
from PIL.TiffTags import TAGS_V2

from shared.imaging.metadata import Kept

Pixels = NDArray[np.uint8] | NDArray[np.uint16]

_TAGS = {tag.name: number for number, tag in TAGS_V2.items()}
_DEFLATE, _RGB, _DIFFERENCES = 8, 2, 2
#: Opacity that colours are not multiplied by.
_UNASSOCIATED = 2
_HEADER_BYTES = 8
_ZLIB_LEVEL = 4
#: Pixels of a strip, which readers unpack at once.
_STRIP_PX = 2**18


def write(pixels: Pixels, *, profile: bytes, kept: Kept | None = None) -> bytes:
    """Write a picture `[height, width, 3 or 4]` in the colours of an ICC `profile`, with facts of its photograph."""
    height, width, planes = pixels.shape
    rows = max(1, min(height, _STRIP_PX // width))
    strips = list(_strips(pixels, rows))
    counts = [len(strip) for strip in strips]
    directory = ImageFileDirectory_v2(prefix=b"II")
    directory.update(
        {
            _TAGS["ImageWidth"]: width,
            _TAGS["ImageLength"]: height,
            _TAGS["BitsPerSample"]: (pixels.itemsize * 8,) * planes,
            _TAGS["Compression"]: _DEFLATE,
            _TAGS["PhotometricInterpretation"]: _RGB,
            _TAGS["StripOffsets"]: tuple(accumulate(counts[:-1], initial=0)),
            _TAGS["SamplesPerPixel"]: planes,
            _TAGS["RowsPerStrip"]: rows,
            _TAGS["StripByteCounts"]: tuple(counts),
            _TAGS["Predictor"]: _DIFFERENCES,
            _TAGS["ICCProfile"]: profile,
            **({_TAGS["ExtraSamples"]: _UNASSOCIATED} if planes == 4 else {}),
            **(kept.directory() if kept else {}),
        }
    )
    # Pillow adds to the offsets where the directory ends, which is where the strips begin
    header = struct.pack("<2sHI", b"II", 42, _HEADER_BYTES)
    return b"".join((header, directory.tobytes(_HEADER_BYTES), *strips))


def _strips(pixels: Pixels, rows: int) -> Iterator[bytes]:
    """Yield the compressed strips: each sample but a row's first is its difference from the one on its left."""
    for top in range(0, pixels.shape[0], rows):
        band = pixels[top : top + rows]
        differences = band.copy()
        differences[:, 1:] -= band[:, :-1]
        yield zlib.compress(differences.astype(band.dtype.newbyteorder("<"), copy=False).tobytes(), _ZLIB_LEVEL)
