"""WebP and BMP, which Pillow reads as they come."""

import struct
from functools import partial

from PIL import Image

from shared.errors import ImageTooLarge, UnsupportedImage
from shared.imaging.formats.header import Header, loaded, opened_by_pillow

#: WebP's decoder holds two canvases, its frame and Pillow's image, of four bytes each. Measured: 16.
_WEBP_BYTES_PER_PX = 16
#: Pixels and bytes of a BMP with run lengths, which Pillow decodes in Python: this many take half a second.
_MAX_RUNS_PX, _MAX_RUNS_BYTES = 2**22, 2**20
_RUN_LENGTHS = (1, 2)
#: Where a BMP says how many bits a pixel has, and then how they are compressed; how many bytes its headers have.
_BMP_BITS_AT, _BMP_HEADERS_BYTES = 28, 54
_BMP_COMPRESSIONS = {0: "none", 1: "run lengths", 2: "run lengths", 3: "bit fields", 4: "JPEG", 5: "PNG"}


def read_webp(data: bytes) -> Header:
    """Read the header of a WebP."""
    image = opened_by_pillow(data, "WEBP")
    return Header("WEBP", image.size, _WEBP_BYTES_PER_PX, partial(loaded, image))


def read_bmp(data: bytes) -> Header:
    """Read the header of a BMP."""
    try:
        image = opened_by_pillow(data, "BMP")
    except OSError:
        if len(data) < _BMP_HEADERS_BYTES:
            raise
        bits, compression = struct.unpack_from("<HI", data, _BMP_BITS_AT)
        kind = f"{bits} bits per pixel, compression {_BMP_COMPRESSIONS.get(compression, compression)}"
        raise UnsupportedImage(f"BMPs of this kind are not supported: {kind}.") from None
    if image.info.get("compression") in _RUN_LENGTHS and (
        image.width * image.height > _MAX_RUNS_PX or len(data) > _MAX_RUNS_BYTES
    ):
        raise ImageTooLarge(f"A BMP with run lengths may have {_MAX_RUNS_PX} pixels and {_MAX_RUNS_BYTES} bytes.")
    return Header("BMP", image.size, 1 if image.mode in ("1", "L", "P") else 4, partial(_load_bmp, image))


def _load_bmp(image: Image.Image) -> Image.Image:
    image.load()
    if image.mode == "RGBA" and image.getchannel("A").getextrema() == (0, 0):
        return image.convert("RGB")  # many programs leave the fourth byte 0, and browsers ignore it then
    return image
