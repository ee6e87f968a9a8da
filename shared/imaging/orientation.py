"""Turns images upright, as their EXIF orientation says.

Pillow rotates a TIFF while it loads it, and drops the tag.
"""

from PIL import Image

from shared import logs

log = logs.get(__name__)

_ORIENTATION = 0x0112
#: What turns an image upright, by EXIF orientation.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def upright(image: Image.Image) -> Image.Image:
    """Return an image the right way up: itself, if it is."""
    turn = _UPRIGHT.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def is_turned(image: Image.Image) -> bool:
    """Return whether an image is stored on its side, so that its width is the height of the upright one."""
    return _orientation(image) in (5, 6, 7, 8)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation; 1, upright, if there is none to read."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception as error:  # a broken EXIF block raises almost any kind
        log.info("exif_ignored", reason=repr(error))
        return 1
