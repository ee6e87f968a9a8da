"""What a file says of its picture, and whether decoding that would stay within bounds.

Threat: the file is hostile, so nothing is decoded before its header is judged.
"""

import io
from collections.abc import Callable
from typing import NamedTuple

from PIL import Image

from shared.errors import ImageTooLarge

#: The longest side that JPEG can hold, in px: previews are JPEG.
MAX_SIDE_PX = 65_500
#: Bytes that decoding may hold at once for each pixel allowed: 400 MB at 50 megapixels. Pillow's own image takes four;
#: most libraries take little more, but not all.
_MAX_BYTES_PER_PX = 8
#: Bytes that decoding may hold in any case.
_MIN_BUDGET_BYTES = 2**26


class Header(NamedTuple):
    """A picture that is not decoded yet.

    `size` is its (width, height) as stored, before it is turned upright; `bytes_per_px` the most memory that decoding
    takes; `name` its format for people. `load` decodes it, in a mode that `shared.imaging.pixels` knows.
    """

    name: str
    size: tuple[int, int]
    bytes_per_px: float
    load: Callable[[], Image.Image]

    @property
    def px(self) -> int:
        """Its number of pixels."""
        return self.size[0] * self.size[1]


def check_bounds(header: Header, max_px: int) -> None:
    """Raise `ImageTooLarge` if decoding the picture would exceed the bounds."""
    width, height = header.size
    fields = {"width": width, "height": height, "max_px": max_px}
    if header.px > max_px or max(width, height) > MAX_SIDE_PX:
        limits = f"at most {max_px} are allowed, and {MAX_SIDE_PX} on a side"
        raise ImageTooLarge(f"The image has {width} × {height} pixels; {limits}.", **fields)
    needed, allowed = header.px * header.bytes_per_px, max(max_px * _MAX_BYTES_PER_PX, _MIN_BUDGET_BYTES)
    if needed > allowed:
        limit = f"the limit is {allowed / 1e6:.0f} MB"
        raise ImageTooLarge(
            f"A {header.name} of {width} × {height} pixels takes {needed / 1e6:.0f} MB; {limit}.", **fields
        )


def opened_by_pillow(data: bytes, name: str) -> Image.Image:
    """Open a file of the format that Pillow calls `name`, without its XMP.

    Pillow would look there for how the picture is turned; browsers look for that in EXIF alone.
    """
    image = Image.open(io.BytesIO(data), formats=(name,))
    image.info.pop("xmp", None)
    return image


def loaded(image: Image.Image) -> Image.Image:
    """Decode an image that Pillow has opened; return itself."""
    image.load()
    return image
