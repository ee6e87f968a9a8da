"""JPEG, the first image of a phone's MPO included.

Each scan of a progressive JPEG goes over the whole picture, however few bytes it has, so a small file of many scans
takes long: 2,000 in 305 kB took 14 s. Scans are therefore counted by their markers before anything is decoded.
"""

import re

from PIL import JpegImagePlugin

from shared.errors import CorruptImage, ImageTooLarge, UnsupportedImage
from shared.imaging.formats.header import Header, loaded, opened_by_pillow

#: Scans that a file may have. Encoders make about ten, of CMYK twenty; libjpeg's own tools take scripts of at most 100.
_MAX_SCANS = 100
#: Scans times pixels: sixteen at 50 megapixels, more than encoders make, and about as slow as 100 at eight.
_MAX_SCANNED_PX = 800_000_000

#: A marker among entropy-coded data, which keeps FF 00 and restarts to itself.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_SCAN, _END = 0xDA, 0xD9
#: Markers of frames, whose third byte after the marker says how many bits a sample has. Source: ITU-T T.81, table B.1.
_FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA}
_UNREAD_FRAMES = {
    **dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF), "Hierarchical"),
    0xCB: "Lossless arithmetic",
    0xF7: "Lossless (JPEG-LS)",
}
_EIGHT_BITS = b"\x08"
#: Segments before the frame, each of which takes Pillow some microseconds: profiles and XMP have up to a thousand.
_MAX_SEGMENTS = 4096
#: Notes: segments that are kept from Pillow, which reads Photoshop's block by block for what nobody asks, and copies
#: Exif anew for each of its segments, of which honest files have one or two.
_PHOTOSHOP, _COMMENT, _EXIF = 0xED, 0xFE, 0xE1
_EXIF_START, _MAX_EXIF_SEGMENTS = b"Exif\0\0", 16
#: Markers that stand alone.
_BARE = {0x01, 0xD8}


def read(data: bytes) -> Header:
    """Read the header of a JPEG."""
    lean = without_notes(data)
    scans = count_scans(data)
    image = opened_by_pillow(lean, "JPEG")
    if not isinstance(image, JpegImagePlugin.JpegImageFile):
        raise CorruptImage
    if scans > _MAX_SCANS or scans * image.width * image.height > max(_MAX_SCANNED_PX, image.width * image.height):
        raise ImageTooLarge(f"The JPEG has too many scans for its size: {scans}.", scans=scans)
    progressive = "progressive" in image.info
    return Header(
        "progressive JPEG" if progressive else "JPEG", image.size, _bytes_per_px(image), lambda: loaded(image)
    )


def without_notes(data: bytes) -> bytes:
    """Return a JPEG without the segments that Pillow is not to see; raise as `read` does for how it is coded."""
    notes = _notes(data)
    starts, ends = [0, *(note.stop for note in notes)], [*(note.start for note in notes), len(data)]
    return b"".join(data[start:end] for start, end in zip(starts, ends, strict=True)) if notes else data


def _notes(data: bytes) -> list[slice]:
    """Return where segments stand that Pillow is not to see.

    Raises `UnsupportedImage` for a kind of coding that libjpeg does not decode, `ImageTooLarge` for many segments.
    """
    at, notes, exif_segments = 2, list[slice](), 0
    for _ in range(_MAX_SEGMENTS):
        found = _MARKER.search(data, at)
        if found is None:
            return notes
        at, marker = found.end(), data[found.end() - 1]
        if marker in _UNREAD_FRAMES:
            raise UnsupportedImage(f"{_UNREAD_FRAMES[marker]} JPEGs are not supported.")
        if marker in _FRAMES and data[at + 2 : at + 3] not in (_EIGHT_BITS, b""):
            raise UnsupportedImage(f"JPEGs of {data[at + 2]} bits per channel are not supported; save it with 8.")
        if marker in _FRAMES or marker in (_SCAN, _END):
            return notes
        exif_segments += marker == _EXIF and data.startswith(_EXIF_START, at + 2)
        at += max(2, int.from_bytes(data[at : at + 2], "big"))
        if marker in (_PHOTOSHOP, _COMMENT) or (marker == _EXIF and exif_segments > _MAX_EXIF_SEGMENTS):
            notes.append(slice(found.start(), at))
    raise ImageTooLarge(f"The JPEG has more than {_MAX_SEGMENTS} segments before its picture.")


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
