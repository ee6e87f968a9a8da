"""PNG: its chunks are read here, and Pillow gets only those that the pixels need.

Pillow refuses a whole picture for one wrong checksum in a comment, for a large profile and for much text. Browsers drop
such a chunk, and so does this module: ancillary chunks never spoil a picture.

Colours follow the first of cICP, iCCP, sRGB, and gAMA with cHRM that there is. Source: PNG specification, third
edition, sections 4.3, 5.3 and 11.3.2.
"""

import io
import struct
import zlib
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from shared.errors import CorruptImage, ImageTooLarge
from shared.imaging import profiles
from shared.imaging.formats.header import Header
from shared.imaging.profiles import Colours

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Chunks that a file may have: reading this many takes 0.1 s. A large picture has some ten thousand.
_MAX_CHUNKS = 2**17
#: The largest EXIF block that is read for its orientation, in bytes: JPEG's holds no more.
_MAX_EXIF_BYTES = 2**16
#: The largest profile that is unpacked, in bytes. Those of printing presses have up to 4 MB.
_MAX_PROFILE_BYTES = 2**23
#: Chunks that tell something about the pixels, beside the pixels themselves.
_READ = {b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"pHYs"}
#: Texts, of which only one is read: the EXIF block that ImageMagick writes into it.
_TEXTS, _EXIF_TEXT = (b"tEXt", b"zTXt"), b"Raw profile type exif\0"

#: What encoders write for sRGB, in hundred-thousandths.
_SRGB_GAMMA = 45_455
#: The colour types of IHDR.
_GREY, _RGB, _PALETTE = 0, 2, 3


class _Png(NamedTuple):
    """The chunks of a file, by kind: bodies in their order, of ancillary ones only the first that is intact."""

    chunks: dict[bytes, list[memoryview]]

    @property
    def depth(self) -> int:
        return self.chunks[b"IHDR"][0][8]

    @property
    def kind(self) -> int:
        return self.chunks[b"IHDR"][0][9]

    @property
    def is_grey(self) -> bool:
        return self.kind in (_GREY, 4)

    def first(self, kind: bytes) -> bytes:
        """Return the body of the first chunk of a kind; empty if there is none."""
        return bytes(self.chunks[kind][0]) if self.chunks.get(kind) else b""

    def pillows(self, *others: bytes) -> io.BytesIO:
        """Return a file of what Pillow needs: the pixels, the palette and its alpha, the orientation, other chunks."""
        kinds = (b"PLTE", b"tRNS", b"eXIf") if self.kind == _PALETTE else (b"eXIf",)
        parts = [chunk(kind, self.first(kind)) for kind in (b"IHDR", *kinds, *others) if self.chunks.get(kind)]
        return io.BytesIO(b"".join([_SIGNATURE, *parts, chunk(b"IDAT", b"".join(self.chunks[b"IDAT"])), _END]))


def read(data: bytes) -> Header:
    """Read the header of a PNG."""
    png = _Png(_chunks(data))
    image = Image.open(png.pillows(), formats=("PNG",))
    bytes_per_px = 1 if image.mode in ("1", "L", "P") else 4
    if png.kind != _PALETTE and len(png.first(b"tRNS")) in (2, 6):
        bytes_per_px = 8  # the samples are compared with the transparent one
    profile = _profile(png)
    return Header("PNG", image.size, bytes_per_px, partial(_load, png, image, profile))


def with_metadata(data: bytes) -> io.BytesIO:
    """Return the PNG for Pillow to read its EXIF and resolution; raise `CorruptImage` or `ImageTooLarge`."""
    return _Png(_chunks(data)).pillows(b"pHYs", *_TEXTS)


def _load(png: _Png, image: Image.Image, profile: bytes | None) -> Image.Image:
    image.load()
    opaque = _with_alpha(png, image)
    if profile:
        opaque.info["icc_profile"] = profile
    return opaque


def _chunks(data: bytes) -> dict[bytes, list[memoryview]]:
    """Read the list of chunks; raise `CorruptImage` where a chunk that the pixels need is damaged or missing."""
    chunks = defaultdict[bytes, list[memoryview]](list)
    for kind, body, end in _listed(data):
        if kind == b"IDAT":
            chunks[kind].append(body)
        elif (kind in _READ or (kind in _TEXTS and body[: len(_EXIF_TEXT)] == _EXIF_TEXT)) and not chunks[kind]:
            if _is_intact(data, kind, body, end):
                chunks[kind].append(body)
            elif kind in (b"IHDR", b"PLTE"):
                raise CorruptImage
    if not (chunks[b"IHDR"] and chunks[b"IDAT"]) or len(chunks[b"IHDR"][0]) < 13:
        raise CorruptImage
    return chunks


def _listed(data: bytes) -> Iterator[tuple[bytes, memoryview, int]]:
    """Yield the kind and the body of each chunk, and where it ends."""
    view, at = memoryview(data), len(_SIGNATURE)
    for _ in range(_MAX_CHUNKS):
        if at + 8 > len(data):
            return
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"IEND":
            return
        body = view[at + 8 : at + 8 + length]
        at += 12 + length
        yield kind, body, at
    raise ImageTooLarge(f"The PNG has more than {_MAX_CHUNKS} chunks.", max_chunks=_MAX_CHUNKS)


def _is_intact(data: bytes, kind: bytes, body: memoryview, end: int) -> bool:
    if kind == b"eXIf" and len(body) > _MAX_EXIF_BYTES:
        return False
    return data[end - 4 : end] == struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))


def chunk(kind: bytes, body: bytes) -> bytes:
    """Write a chunk with its length and checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))


_END = chunk(b"IEND", b"")


def _profile(png: _Png) -> bytes | None:
    """Return the ICC profile that the file holds or describes; None for sRGB."""
    colours = _by_cicp(png)
    if colours is None and (embedded := _embedded_profile(png.first(b"iCCP"))):
        return embedded
    if colours is None and not png.first(b"sRGB"):
        colours = _by_gamma(png)
    return colours.profile(grey=png.is_grey) if colours else None


def _by_cicp(png: _Png) -> Colours | None:
    """Return the colours of cICP; None without one that holds for RGB in full range."""
    cicp = png.first(b"cICP")
    if len(cicp) != 4 or cicp[2] != 0 or cicp[3] != 1:
        return None
    return profiles.by_code_points(cicp[0], cicp[1])


def _embedded_profile(iccp: bytes) -> bytes | None:
    """Unpack a profile: its name, a method of 0, and its compressed bytes; None if it is damaged or too large."""
    _, _, rest = iccp.partition(b"\0")
    unpacking = zlib.decompressobj()
    try:
        profile = unpacking.decompress(rest[1:], _MAX_PROFILE_BYTES)
    except zlib.error:
        return None
    return profile if unpacking.eof else None


def _by_gamma(png: _Png) -> Colours | None:
    """Return the colours of gAMA and cHRM; as in browsers, None for cHRM alone, and for sRGB's gAMA alone."""
    gamma, chromaticities = png.first(b"gAMA"), png.first(b"cHRM")
    value = int.from_bytes(gamma, "big") if len(gamma) == 4 else 0
    if len(chromaticities) == 32:
        w_x, w_y, r_x, r_y, g_x, g_y, b_x, b_y = (part / 100_000 for part in struct.unpack(">8I", chromaticities))
        return profiles.by_gamma(value / 100_000, (w_x, w_y, r_x, r_y, g_x, g_y, b_x, b_y)) if value else None
    return profiles.by_gamma(value / 100_000, None) if value not in (0, _SRGB_GAMMA) else None


def _with_alpha(png: _Png, image: Image.Image) -> Image.Image:
    """Return a loaded image with the one transparent sample of its tRNS chunk as alpha; itself without one.

    Pillow compares it with samples that it has scaled to eight bits, so that it never finds those of other depths.
    """
    sample = struct.unpack(f">{len(png.first(b'tRNS')) // 2}H", png.first(b"tRNS")[:6]) if png.kind != _PALETTE else ()
    if png.kind == _GREY and len(sample) == 1:
        if png.depth == 16:
            image.info["transparency"] = sample[0]
            return image
        hidden = np.asarray(image.convert("L")) == sample[0] % 2**png.depth * 255 // (2**png.depth - 1)
        shown = image.convert("L")
    elif png.kind == _RGB and len(sample) == 3:
        hidden = _is_colour(png, image, sample)
        shown = image
    else:
        return image
    shown.putalpha(Image.fromarray(np.where(hidden, np.uint8(0), np.uint8(255))))
    return shown


def _is_colour(png: _Png, image: Image.Image, colour: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return where an RGB image has a colour, given in the file's own depth."""
    if png.depth == 8:
        return _equals(image, [part & 255 for part in colour])
    # Pillow keeps the upper byte of sixteen bits: read as of the other byte order, the file shows the lower one
    lower = Image.open(png.pillows(), formats=("PNG",))
    assert isinstance(lower, PngImagePlugin.PngImageFile)
    lower.tile = [tile._replace(args="RGB;16L") for tile in lower.tile]
    lower.load()
    return _equals(image, [part >> 8 for part in colour]) & _equals(lower, [part & 255 for part in colour])


def _equals(image: Image.Image, colour: list[int]) -> NDArray[np.bool_]:
    equal: NDArray[np.bool_] = np.equal(np.asarray(image), colour).all(axis=2)
    return equal
