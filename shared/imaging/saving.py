"""Results as files: eight or sixteen bits per channel, in sRGB and said to be so, with or without metadata.

The stored file is a PNG that has all that was asked for; what is sent in another format, smaller or mixed with its
photograph, is made of it and keeps that.
"""

import io
import struct
import threading
from contextlib import nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from shared.imaging import codec, deep, encoder, metadata, tiff_writer
from shared.imaging.formats.png import chunk
from shared.imaging.metadata import EXIF_PREFIX, Kept
from shared.imaging.mixing import Mix

#: The header and the first chunk of every PNG, after which others may stand.
_PNG_HEADER_BYTES = 33
#: Rendering intent: perceptual.
_SRGB_CHUNK = b"\0"
_METRES_PER_INCH = 0.0254
#: Where a profile has its date, which would make each process write other bytes.
_DATE_AT = slice(24, 36)
#: Pictures of more pixels are converted one at a time.
_LARGE_PX = 10_000_000
_large_lock = threading.Lock()


def _srgb_profile() -> bytes:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[_DATE_AT] = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)
    return bytes(profile)


#: The ICC profile of sRGB.
PROFILE = _srgb_profile()


def encode(
    rgb: NDArray[np.float32],
    alpha: NDArray[np.float32] | None = None,
    *,
    depth: int = 8,
    kept: Kept | None = None,
) -> bytes:
    """Encode a result as the PNG to be stored; an `alpha` of another size is resized to the picture's."""
    if depth == 8:
        plain = codec.encode(rgb, alpha, format="png")
    else:
        plain = deep.write_png(deep.from_floats(encoder.joined(rgb, alpha)))
    return _with_chunks(plain, kept)


def recode(
    data: bytes,
    *,
    format: str,  # noqa: A002 - as in `codec.recode`
    max_side: int = 0,
    quality: int = 92,
    mix: Mix | None = None,
) -> bytes:
    """Convert a stored result to `png`, `jpeg`, `webp` or `tiff` as `codec.recode` does.

    A PNG or TIFF keeps its sixteen bits. A picture made smaller is for showing: it has eight, and no metadata. A TIFF
    is made in its whole size only.
    """
    kept = None if max_side else metadata.read(data)
    options = {} if max_side else _options(format, kept)
    if not deep.is_deep(data):
        if format != "tiff":
            return codec.recode(data, format=format, max_side=max_side, quality=quality, mix=mix, options=options)
        plain = data if mix is None else codec.recode(data, format="png", mix=mix)
        with Image.open(io.BytesIO(plain), formats=("PNG",)) as image:
            return tiff_writer.write(np.asarray(image), profile=PROFILE, kept=kept)
    width, height = struct.unpack_from(">II", data, 16)
    with _large_lock if width * height > _LARGE_PX else nullcontext():
        pixels = deep.read_png(data)
        if mix is not None:
            deep.mix_into(pixels, codec.photograph_of(mix, (width, height)), mix.strength)
        if format == "tiff":
            return tiff_writer.write(pixels, profile=PROFILE, kept=kept)
        if format == "png" and not max_side:
            return _with_chunks(deep.write_png(pixels), kept)
        shown = deep.to_eight_bits(pixels)
        return encoder.save(shown, format=format, max_side=max_side, quality=quality, options=options)


def _options(format: str, kept: Kept | None) -> dict[str, Any]:  # noqa: A002 - as in `recode`
    """Return how Pillow writes the colour space and the metadata."""
    if format == "png":
        chunks = PngInfo()
        chunks.add(b"sRGB", _SRGB_CHUNK)
        options: dict[str, Any] = {"pnginfo": chunks}
    else:
        options = {"icc_profile": PROFILE}
    if kept is not None:
        options["exif"] = kept.as_exif()
        if kept.dpi and format != "webp":
            options["dpi"] = kept.dpi
    return options


def _with_chunks(plain: bytes, kept: Kept | None) -> bytes:
    """Say the colour space and the metadata in a PNG."""
    chunks = [chunk(b"sRGB", _SRGB_CHUNK)]
    if kept is not None:
        if kept.dpi:
            chunks.append(chunk(b"pHYs", struct.pack(">IIB", *(round(dpi / _METRES_PER_INCH) for dpi in kept.dpi), 1)))
        chunks.append(chunk(b"eXIf", kept.as_exif().removeprefix(EXIF_PREFIX)))
    return b"".join((plain[:_PNG_HEADER_BYTES], *chunks, plain[_PNG_HEADER_BYTES:]))
