"""HEIC, which phones take photographs in, and AVIF: two codings in one kind of container.

HEIC is decoded by `pi_heif` (libheif and libde265), AVIF by Pillow (libavif and dav1d). Both are told to use few
threads, and neither is asked for anything before the boxes and the coded headers have been judged.
"""

import struct
from collections.abc import Iterator
from functools import partial

import pi_heif
from PIL import AvifImagePlugin, Image

from shared.errors import CorruptImage, ImageTooLarge, UnsupportedImage
from shared.imaging import profiles
from shared.imaging.formats.boxes import Item, read_items
from shared.imaging.formats.coded_sizes import Size, av1_sizes, hevc_sizes
from shared.imaging.formats.header import Header, opened_by_pillow
from shared.imaging.profiles import Colours

#: Threads that decode one picture: several pictures are decoded at once.
_THREADS = 2
# both are read by the libraries at each call
pi_heif.options.DECODE_THREADS = _THREADS
AvifImagePlugin.DEFAULT_MAX_THREADS = _THREADS

#: Bytes that the libraries and Pillow hold for each pixel, beside the planes as they are coded. Measured at 12
#: megapixels, in all: 7.7 for a HEIC with halved chroma and 9.6 without, 8.7 and 9.3 for AVIF, 9.7 with alpha.
_BESIDE_PLANES = 7.0
_BESIDE_PLANES_HEIC = 6.5
#: How many times the picture's pixels its parts may have together: they overlap its edges, and alpha comes beside it.
_MAX_PARTS = 4
#: What parts may have in any case, in px: a small picture is a corner of one tile.
_MIN_PARTS_PX = 2**21
#: Items that are made of items: a grid of tiles, turned, is two.
_MAX_DEPTH = 8
#: How much larger than it says a part may be coded, in px a side: coded sizes are multiples of blocks.
_BLOCK_PX = 128


def read_heic(data: bytes) -> Header:
    """Read the header of a HEIC file."""
    picture = _Picture(data)
    bytes_per_px = picture.plane_bytes_per_px + _BESIDE_PLANES_HEIC
    return Header("HEIC", picture.size, bytes_per_px, partial(_load_heic, data, picture))


def read_avif(data: bytes) -> Header:
    """Read the header of an AVIF file. Of a sequence, the still picture beside it counts."""
    picture = _Picture(data)
    still = data[:8] + b"avif" + data[12:] if data[8:12] == b"avis" else data
    image = opened_by_pillow(still, "AVIF")
    return Header("AVIF", image.size, picture.plane_bytes_per_px + _BESIDE_PLANES, partial(_load_avif, image, picture))


def exif(data: bytes) -> bytes:
    """Return the Exif block of a HEIC file, empty if it has none."""
    block: bytes = pi_heif.open_heif(data).info.get("exif") or b""
    return block


def _load_heic(data: bytes, picture: "_Picture") -> Image.Image:
    image: Image.Image = pi_heif.open_heif(data).to_pillow()  # turned upright, whatever its EXIF says
    if image.width * image.height > picture.size[0] * picture.size[1]:
        raise CorruptImage
    profile = image.info.get("icc_profile") or picture.profile(grey=image.mode in ("L", "LA"))
    image.info = {"icc_profile": profile} if profile else {}
    return image


def _load_avif(image: Image.Image, picture: "_Picture") -> Image.Image:
    image.load()
    profile = image.info.get("icc_profile") or picture.profile(grey=image.mode in ("L", "LA"))
    if profile:
        image.info["icc_profile"] = profile
    return image


class _Picture:
    """The primary item of a file, and all that it is made of."""

    def __init__(self, data: bytes) -> None:
        """Judge the boxes and the coded headers; raise `CorruptImage`, `ImageTooLarge` or `UnsupportedImage`."""
        items = read_items(data)
        if items is None:
            raise UnsupportedImage("Sequences without a still picture are not supported.")
        self._data = data
        self._items = items
        self._primary = items.by_number[items.primary]
        self.size = _stated_size(self._primary)
        roots = [items.primary, *items.auxiliary.get(items.primary, ())]
        allowed = max(_MAX_PARTS * self.size[0] * self.size[1], _MIN_PARTS_PX)
        found = sum(self._decoded_px(number, allowed) for number in roots)
        if found > allowed:
            detail = f"The parts of the image have {found} pixels, and the image {self.size[0]} × {self.size[1]}."
            raise ImageTooLarge(detail, parts_px=found)
        self._colours()  # which refuses HDR before it is decoded

    @property
    def plane_bytes_per_px(self) -> float:
        """The bytes of its planes for each pixel, alpha included."""
        coded = self._first_coded()
        alpha = bool(self._items.auxiliary.get(self._items.primary))
        if b"av1C" in coded.properties:
            flags = coded.properties[b"av1C"][0][2]
            deep, grey, halved = flags & 64, flags & 16, bool(flags & 8) + bool(flags & 4)
        else:
            configuration = coded.properties[b"hvcC"][0]
            chroma = configuration[16] & 3
            deep, grey, halved = configuration[17] & 7, chroma == 0, {1: 2, 2: 1}.get(chroma, 0)
        samples = 1 + alpha + (0 if grey else 2 / 2**halved)
        return samples * (2 if deep else 1) + alpha

    def profile(self, *, grey: bool) -> bytes | None:
        """Return the ICC profile of the colours that it describes by code points; None for sRGB."""
        colours = self._colours()
        return colours.profile(grey=grey) if colours else None

    def _colours(self) -> Colours | None:
        for colr in [*self._primary.properties.get(b"colr", ()), *self._first_coded().properties.get(b"colr", ())]:
            if colr[:4] == b"nclx" and len(colr) >= 10:
                return profiles.by_code_points(*struct.unpack_from(">HH", colr, 4))
        return None

    def _first_coded(self) -> Item:
        """Return the first item with pixels of its own that the picture is made of."""
        item = self._primary
        for _ in range(_MAX_DEPTH):
            if b"hvcC" in item.properties or b"av1C" in item.properties:
                return item
            if not item.parts:
                break
            item = self._items.by_number.get(item.parts[0], Item())
        raise UnsupportedImage("The image is coded neither as HEVC nor as AV1, which is not supported.")

    def _decoded_px(self, number: int, allowed: int, depth: int = 0) -> int:
        """Count the pixels that are decoded for an item; stop once they are more than `allowed`."""
        item = self._items.by_number.get(number)
        if item is None or depth > _MAX_DEPTH:
            raise CorruptImage
        if not item.parts:
            return self._coded_px(item)
        found = 0
        for part in item.parts:
            found += self._decoded_px(part, allowed - found, depth + 1)
            if found > allowed:
                break
        return found

    def _coded_px(self, item: Item) -> int:
        """Return the pixels of a coded item, by what it says of itself and by its coded headers."""
        stated = _stated_size(item)
        for width, height in self._coded_sizes(item):
            if width > stated[0] + _BLOCK_PX or height > stated[1] + _BLOCK_PX:
                raise ImageTooLarge(
                    f"The image is coded as {width} × {height} pixels, and says {stated[0]} × {stated[1]}.",
                    width=width,
                    height=height,
                )
        return stated[0] * stated[1]

    def _coded_sizes(self, item: Item) -> Iterator[Size]:
        data = b"".join(self._data[at : at + length] for at, length in item.extents)
        for configuration in item.properties.get(b"hvcC", ()):
            yield from hevc_sizes(configuration, data)
        for configuration in item.properties.get(b"av1C", ()):
            yield from av1_sizes(configuration[4:])
            yield from av1_sizes(data)


def _stated_size(item: Item) -> Size:
    """Return the (width, height) that an item says of itself."""
    sizes = item.properties.get(b"ispe", ())
    if not sizes or len(sizes[0]) < 12:
        raise CorruptImage
    width, height = struct.unpack_from(">II", sizes[0], 4)
    return width, height
