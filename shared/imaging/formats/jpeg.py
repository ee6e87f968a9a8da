"""JPEG, the first image of a phone's MPO included.

Each scan of a progressive JPEG goes over the whole picture, however few bytes it has, so a small file of many scans
takes long: 2,000 in 305 kB took 14 s. Scans are therefore counted by their markers before anything is decoded.
"""

import io
import re

from PIL import Image, JpegImagePlugin

from shared.errors import CorruptImage, ImageTooLarge
from shared.imaging.formats.header import Header, loaded

#: Scans that a file may have. Encoders make about ten, of CMYK twenty; libjpeg's own tools take scripts of at most 100.
_MAX_SCANS = 100
#: Scans times pixels: sixteen at 50 megapixels, more than encoders make, and about as slow as 100 at eight.
_MAX_SCANNED_PX = 800_000_000

#: A marker among entropy-coded data, which keeps FF 00 and restarts to itself.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_SCAN, _END = 0xDA, 0xD9
#: Markers that stand alone.
_BARE = {0x01, 0xD8}


def read(data: bytes) -> Header:
    """Read the header of a JPEG."""
    scans = count_scans(data)
    image = Image.open(io.BytesIO(data), formats=("JPEG", "MPO"))
    if not isinstance(image, JpegImagePlugin.JpegImageFile):
        raise CorruptImage
    if scans > _MAX_SCANS or scans * image.width * image.height > max(_MAX_SCANNED_PX, image.width * image.height):
        raise ImageTooLarge(f"The JPEG has too many scans for its size: {scans}.", scans=scans)
    progressive = "progressive" in image.info
    return Header(
        "progressive JPEG" if progressive else "JPEG", image.size, _bytes_per_px(image), lambda: loaded(image)
    )


def count_scans(data: bytes) -> int:
    """Count the scans of a JPEG's first image; stop soon after `_MAX_SCANS`."""
    most = data.count(b"\xff\xda")
    if most <= 1:  # others may lie in metadata, and are not scans
        return most
    count = at = 0
    while count <= _MAX_SCANS and (found := _MARKER.search(data, at)):
        at, marker = found.end(), data[found.end() - 1]
        if marker == _END:
            break
        if marker not in _BARE:
            count += marker == _SCAN
            at += max(2, int.from_bytes(data[at : at + 2], "big"))
    return count


def _bytes_per_px(image: JpegImagePlugin.JpegImageFile) -> float:
    """Return the peak memory of decoding: Pillow's image, and the coefficients that libjpeg holds beside it."""
    own = 1 if image.mode == "L" else 4
    if "progressive" not in image.info:
        return own
    # two bytes per coefficient; subsampled channels have fewer of them
    shares = [across * down for _, across, down, _ in image.layer]
    return own + 2 * sum(shares) / max(shares)
