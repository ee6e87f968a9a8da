"""Mixes a painted picture with its photograph, which sets how strongly the painting shows.

The mix is made in Oklab, so a half-painted sky is as light as its two halves and has no third hue.

Invariant: only a band of rows is held as floats, however large the picture is.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shared.imaging import oklab

#: Pixels of a band. As floats, with the temporaries of the conversion, each takes about 100 bytes.
_BAND_PX = 2**18


class Mix(NamedTuple):
    """What to mix a painted picture with: an upload, `photograph`, of at most `max_px` pixels.

    `strength` is the share of the painting: from 0, the photograph, to 1, the painting.
    """

    photograph: bytes
    strength: float
    max_px: int


def mix_into(painted: Image.Image, photograph: Image.Image, strength: float) -> None:
    """Change the colours of `painted`, an RGB or RGBA image, to the mix with `photograph`, an RGB image of its size.

    `strength` is as in `Mix`. The opacity stays.
    """
    rows = max(1, _BAND_PX // painted.width)
    for top in range(0, painted.height, rows):
        box = (0, top, painted.width, min(top + rows, painted.height))
        source = painted.crop(box)
        colours = oklab.blend(_floats(photograph.crop(box)), _floats(source.convert("RGB")), strength)
        band = Image.fromarray(np.rint(colours * np.float32(255)).astype(np.uint8))
        if source.mode == "RGBA":
            band.putalpha(source.getchannel("A"))
        painted.paste(band, box)


def _floats(image: Image.Image) -> NDArray[np.float32]:
    return np.asarray(image, np.float32) / np.float32(255)
