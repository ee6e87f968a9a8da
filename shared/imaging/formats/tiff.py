"""TIFF: the full picture among a file's pages, and samples as its tags say.

Pillow opens the first page, which in many files is a thumbnail, and takes deep grey for 16 bits in which 0 is black,
or does not know it. So the page is chosen here, and deep grey scaled by its own depth.
"""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, TiffImagePlugin, UnidentifiedImageError
from PIL.TiffImagePlugin import II, MM

from shared.errors import CorruptImage, ImageTooLarge, UnsupportedImage
from shared.imaging.formats import tiff_pages
from shared.imaging.formats.header import Header, opened_by_pillow
from shared.imaging.formats.tiff_pages import Directories, Page

_WHITE_IS_ZERO = 0
_UNSIGNED, _SIGNED = 1, 2
_SAMPLE_FORMATS = {1: "unsigned", 2: "signed", 3: "floating-point", 4: "undefined", 5: "complex", 6: "complex"}
#: The brightest white of signed samples, unless one is brighter: measurements seldom use all of 32 bits.
_MOST_SIGNED_WHITE = 65_535
#: The planar configuration of channels that are stored one after the other, and what Pillow reads so: RGB and CMYK.
#: It would take other pictures for damaged or transparent.
_PLANES = 2
_PHOTOMETRICS_IN_PLANES = (2, 5)

# Kinds of deep grey that Pillow can unpack but does not list. Its table is keyed by byte order, photometric
# interpretation, sample format, fill order, bits and extra samples.
for _photometric in (0, 1):
    for _order, _sixteen, _long in ((II, "I;16", "I;32"), (MM, "I;16B", "I;32B")):
        _grey = {12: ("I;16", "I;12"), 16: (_sixteen, _sixteen), 32: ("I", _long)}
        for _bits, _modes in _grey.items():
            TiffImagePlugin.OPEN_INFO.setdefault((_order, _photometric, (1,), 1, (_bits,), ()), _modes)

#: What libtiff unpacks is in this machine's byte order, which Pillow forgets for 32 bits.
_NATIVE = {
    **dict.fromkeys(("I;32", "I;32B"), "I;32N"),
    **dict.fromkeys(("I;32S", "I;32BS"), "I;32NS"),
    **dict.fromkeys(("F;32F", "F;32BF"), "F;32NF"),
    **dict.fromkeys(("I;16S", "I;16BS"), "I;16NS"),
}


def read(data: bytes) -> Header:
    """Read the header of a TIFF's full page; raise `UnsupportedImage` for what is no picture as it stands."""
    directories = Directories(data)
    if directories.is_big and directories.order == ">":
        raise UnsupportedImage("BigTIFFs in big-endian byte order are not supported.")
    page = directories.full_page()
    try:
        image = opened_by_pillow(directories.starting_at(page), "TIFF")
    except UnidentifiedImageError:
        if not page.is_complete:
            raise CorruptImage from None
        raise UnsupportedImage(f"TIFFs of this kind are not supported: {_described(page)}.") from None
    if _is_in_planes(page) and page.first(tiff_pages.PHOTOMETRIC, 0) not in _PHOTOMETRICS_IN_PLANES:
        raise UnsupportedImage(f"TIFFs of this kind are not supported: {_described(page)}.")
    width, height = image.size
    # a tile is decoded whole, even where it reaches beyond the image; small images have tiles of up to 256 px
    tile_px = page.first(tiff_pages.TILE_WIDTH, 0) * page.first(tiff_pages.TILE_LENGTH, 0)
    if tile_px > max(4 * width * height, 2**20):
        raise ImageTooLarge(f"The image's tiles have {tile_px} pixels each.", tile_px=tile_px)
    bytes_per_px = 1 if image.mode in ("1", "L", "P") else 4
    if _is_deep(image) or _has_signed_bytes(image, page):
        bytes_per_px = 8  # the samples and what they are scaled to
    return Header("TIFF", image.size, bytes_per_px, partial(_load, image, page))


def _load(image: Image.Image, page: Page) -> Image.Image:
    assert isinstance(image, TiffImagePlugin.TiffImageFile)
    if _is_in_planes(page):
        image.use_load_libtiff = True  # Pillow itself takes uncompressed planes of sixteen bits for eight
        deep = ";16N" if page.first(tiff_pages.BITS, 1) == 16 else ""
        args = (image.mode + deep, False, image.tag_v2.offset)
        image.tile = [ImageFile._Tile("libtiff", (0, 0, *image._tile_size), 0, args)]
    if _has_signed_bytes(image, page):
        image.load()
        return _scaled(image, np.asarray(image).view(np.int8), page)
    if not _is_deep(image):
        image.load()
        return image
    image.tile = [_in_native_order(tile) for tile in image.tile]
    profile = image.info.get("icc_profile")
    image.load()
    scaled = _scaled(image, np.asarray(image), page)
    scaled.info |= {"icc_profile": profile} if profile else {}
    return scaled


def _in_native_order(tile: Any) -> Any:
    if tile.codec_name != "libtiff":
        return tile
    rawmode, *others = tile.args
    return tile._replace(args=(_NATIVE.get(rawmode, rawmode), *others))


def _described(page: Page) -> str:
    """Describe a page's samples for people."""
    form = page.first(tiff_pages.SAMPLE_FORMAT, _UNSIGNED)
    samples, bits = page.first(tiff_pages.SAMPLES_PER_PX, 1), page.first(tiff_pages.BITS, 1)
    kind = f"{samples} {_SAMPLE_FORMATS.get(form, 'unknown')} samples of {bits} bits per pixel"
    kind += " in planes" * _is_in_planes(page)
    return f"{kind}, photometric interpretation {page.first(tiff_pages.PHOTOMETRIC, _WHITE_IS_ZERO)}"


def _is_deep(image: Image.Image) -> bool:
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def _is_in_planes(page: Page) -> bool:
    return page.first(tiff_pages.PLANAR, 1) == _PLANES and page.first(tiff_pages.SAMPLES_PER_PX, 1) > 1


def _has_signed_bytes(image: Image.Image, page: Page) -> bool:
    return image.mode == "L" and page.first(tiff_pages.SAMPLE_FORMAT, _UNSIGNED) == _SIGNED


def _scaled(image: Image.Image, samples: NDArray[Any], page: Page) -> Image.Image:
    """Return grey with black at 0 and white at 65535, or at 1 in floats."""
    inverted = page.first(tiff_pages.PHOTOMETRIC, 1) == _WHITE_IS_ZERO
    if image.mode != "F" and page.first(tiff_pages.SAMPLE_FORMAT, _UNSIGNED) == _UNSIGNED:
        return Image.fromarray(_sixteen_bits(samples, page.first(tiff_pages.BITS, 1), inverted=inverted))
    samples = np.where(np.isfinite(samples), samples, 0)
    white = 1 if image.mode == "F" else min(2 ** (page.first(tiff_pages.BITS, 1) - 1) - 1, _MOST_SIGNED_WHITE)
    white = max(white, samples.max(initial=0))
    shares = np.clip(samples, 0, white) / np.float32(white)
    return Image.fromarray(np.asarray(1 - shares if inverted else shares, np.float32))


def _sixteen_bits(samples: NDArray[Any], bits: int, *, inverted: bool) -> NDArray[np.uint16]:
    """Scale unsigned samples of a depth to sixteen bits."""
    white = 2**bits - 1
    if bits > 16:
        scaled = (samples.astype(np.int32).view(np.uint32) >> np.uint32(bits - 16)).astype(np.uint16)
    elif bits < 16:
        scaled = ((np.minimum(samples, white).astype(np.uint32) * 65_535 + white // 2) // white).astype(np.uint16)
    else:
        scaled = samples.astype(np.uint16)
    return ~scaled if inverted else scaled
