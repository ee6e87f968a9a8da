"""A corpus of files as strangers send them: bombs, polyglots, every mode, every orientation, metadata, other formats.

Each comes with the codes that may refuse it, or none if it must be taken.
"""

import contextlib
import io
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin

from tests.hostile.coded_bombs import coded_bombs
from tests.hostile.image_headers import (
    chunk,
    deflated_tiff,
    jpeg,
    lossy_webp,
    png,
    riff,
    segment,
    tiff,
    tiff_chain,
    webp,
    whole_png,
)
from tests.support.sample_images import NOISE, QUARTERS, STORED, saved

#: Formats that say how a camera was held, in EXIF.
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF")
#: Formats that Pillow writes here and the service reads.
_READ = {*FORMATS, "MPO", "AVIF", "GIF", "BMP"}
#: The bound that the settings have by default, in px.
MAX_PX = 50_000_000
#: What stands in all metadata, and must be in no output.
SECRET = b"SECRETPLACE"

TOO_LARGE, CORRUPT, UNSUPPORTED = "image_too_large", "corrupt_image", "unsupported_image"
TAKEN = "taken"


class File(NamedTuple):
    """A file and what may become of it: `TAKEN`, or the code of a refusal."""

    name: str
    data: bytes
    verdicts: tuple[str, ...]


def corpus() -> list[File]:
    """Make every file, always the same ones."""
    coded = (File(name, data, (TOO_LARGE, CORRUPT)) for name, data in coded_bombs())
    groups = (bombs(), coded, hidden_bombs(), polyglots(), modes(), orientations(), with_metadata(), others(), broken())
    return [file for group in groups for file in group]


def bombs() -> Iterator[File]:
    """Headers that say more than 50 megapixels: to be refused before anything is decoded."""
    for width, height in ((7072, 7071), (16_383, 16_383), (60_000, 60_000), (65_500, 800), (800, 65_500)):
        size = f"{width}x{height}"
        yield File(f"png-{size}", png(width, height), (TOO_LARGE,))
        yield File(f"png-deep-{size}", png(width, height, depth=16, color=6), (TOO_LARGE,))
        yield File(f"jpeg-{size}", jpeg(width, height), (TOO_LARGE,))
        yield File(f"jpeg-progressive-{size}", jpeg(width, height, progressive=True), (TOO_LARGE,))
        yield File(f"tiff-{size}", tiff(width, height, t273=300, t279=99), (TOO_LARGE,))
        yield File(f"tiff-raw-{size}", tiff(width, height, t259=1, t273=300, t279=99), (TOO_LARGE,))
        if max(width, height) <= 16_383:
            yield File(f"webp-{size}", webp(width, height), (TOO_LARGE, CORRUPT))
            yield File(f"webp-lossy-{size}", lossy_webp(width, height), (TOO_LARGE, CORRUPT))
    yield File("png-2^31", png(2**31 - 1, 2**31 - 1), (TOO_LARGE,))
    yield File("png-narrow", png(1, 2**31 - 1), (TOO_LARGE,))
    yield File("tiff-2^32", tiff(2**32 - 1, 2**32 - 1, t273=300, t279=99), (TOO_LARGE, CORRUPT))
    yield File("tiff-tile", tiff(16, 16, t322=60_000, t323=60_000, t324=300, t325=99), (TOO_LARGE, CORRUPT))


def hidden_bombs() -> Iterator[File]:
    """Small pictures with much inside, or much of something small."""
    any_of = (TAKEN, CORRUPT, TOO_LARGE)
    zeros = zlib.compress(bytes(200 * 2**20), 9)
    hidden = {
        "ztxt": chunk(b"zTXt", b"a\0\0" + zeros),
        "itxt": chunk(b"iTXt", b"a\0\1\0\0\0" + zeros),
        "iccp": chunk(b"iCCP", b"a\0\0" + zeros),
        "many-ztxt": chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**20 - 10), 9)) * 300,
        "many-chunks": chunk(b"tEXt", b"a\0b") * 20_000,
        "many-frames": chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0)),
        "no-frames": chunk(b"acTL", struct.pack(">II", 0, 0)),
        "exif": chunk(b"eXIf", b"II*\0" + bytes(2**20)),
        "unknown-chunk": chunk(b"abCd", bytes(2**20)),
    }
    yield from (File(f"png-{name}", whole_png(extra), any_of) for name, extra in hidden.items())
    yield File("png-pixels", png(8, 8, pixels=bytes(200 * 2**20)), any_of)
    yield File("png-length", whole_png(struct.pack(">I", 2**31 - 1) + b"tEXt"), any_of)
    yield File("tiff-strip", deflated_tiff(8, 8, bytes(200 * 2**20)), any_of)
    yield File("tiff-rows", deflated_tiff(8, 8, bytes(64), t278=2**32 - 1), any_of)
    yield File("tiff-samples", tiff(4000, 4000, t277=65_535, t273=300, t279=99), (*any_of, UNSUPPORTED))
    yield File("tiff-bits", tiff(64, 64, t258=65_535, t273=300, t279=99), (*any_of, UNSUPPORTED))
    for count in (100, 10_000):
        yield File(f"tiff-{count}-directories", tiff_chain(count), any_of)
        yield File(f"tiff-{count}-in-a-loop", tiff_chain(count, loops=True), any_of)
    yield File("tiff-endless", tiff_chain(1, loops=True), any_of)
    whole = saved(Image.fromarray(QUARTERS), "JPEG", progressive=True)
    scans = whole[whole.index(b"\xff\xda") : -2]
    yield File("jpeg-scans", whole[:-2] + scans * 200 + whole[-2:], any_of)
    yield File("jpeg-comments", jpeg(64, 40, extra=segment(0xFE, bytes(60_000)) * 200), any_of)
    yield File("jpeg-icc", jpeg(64, 40, extra=segment(0xE2, b"ICC_PROFILE\0\1\xff" + bytes(60_000)) * 255), any_of)
    yield File("jpeg-restart", jpeg(64, 40, extra=segment(0xDD, b"\0\1")), any_of)
    small = Image.new("RGB", (16, 16))
    frames = [Image.new("RGB", (16, 16), (n % 256, n // 256, 7)) for n in range(400)]
    for kind in ("WEBP", "PNG", "TIFF"):
        yield File(f"{kind.lower()}-400-frames", saved(small, kind, save_all=True, append_images=frames), any_of)
    yield File("webp-canvas", webp(7000, 7000), any_of)
    yield from largest()


def largest() -> Iterator[File]:
    """As many pixels as are allowed, in few bytes: taken, unless a decoder holds more for each than it may."""
    black = {mode: Image.new(mode, (7071, 7071)) for mode in ("L", "RGB", "CMYK")}
    yield File("largest-jpeg", saved(black["RGB"], "JPEG"), (TAKEN,))
    yield File("largest-jpeg-progressive", saved(black["RGB"], "JPEG", progressive=True), (TAKEN,))
    for mode in ("RGB", "CMYK"):
        data = saved(black[mode], "JPEG", progressive=True, subsampling=0)
        yield File(f"largest-jpeg-progressive-{mode}-fine", data, (TOO_LARGE,))
    yield File("largest-png", saved(black["RGB"], "PNG", compress_level=1), (TAKEN,))
    yield File("largest-tiff", saved(black["RGB"], "TIFF", compression="tiff_adobe_deflate"), (TAKEN,))
    yield File("largest-webp", saved(black["L"], "WEBP", method=0), (TOO_LARGE,))
    yield File("half-as-large-webp", saved(Image.new("L", (5000, 5000)), "WEBP", method=0), (TAKEN,))


def polyglots() -> Iterator[File]:
    """Files that are two things at once: taken as the picture they are, or not at all; never as the other."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("a.txt", SECRET)
    html = b"<html><script>alert(1)</script></html>"
    heads = {"html": html, "pdf": b"%PDF-1.7\n", "zip": archive.getvalue(), "js": b"GIF89a/*", "php": b"<?php x(); ?>"}
    for kind in FORMATS:
        data = saved(Image.fromarray(QUARTERS), kind)
        for name, other in heads.items():
            yield File(f"{kind.lower()}-then-{name}", data + other, (TAKEN, CORRUPT))
            yield File(f"{name}-then-{kind.lower()}", other + data, (CORRUPT if name == "js" else UNSUPPORTED,))
    yield File("gif-js", b"GIF89a/*" + bytes(100) + b"*/=1;alert(1)", (CORRUPT,))
    yield File("html-in-png", whole_png(chunk(b"tEXt", b"Comment\0" + html)), (TAKEN,))
    yield File("html-in-jpeg", jpeg(64, 40, extra=segment(0xFE, html)), (TAKEN,))


def modes() -> Iterator[File]:
    """Every mode of Pillow that one of the formats holds."""
    picture = Image.fromarray(QUARTERS)
    converted = {
        mode: picture.convert(mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I", "F")
    }
    converted["PA"] = picture.convert("RGBA").convert("PA")
    converted["I;16"] = Image.fromarray(np.asarray(picture.convert("L"), np.uint16) * 257)
    lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    converted["LAB"] = ImageCms.applyTransform(picture, lab)
    for mode, image in converted.items():
        for kind in FORMATS:
            with contextlib.suppress(OSError, ValueError, KeyError), warnings.catch_warnings(action="ignore"):
                yield File(f"mode-{mode}-{kind.lower()}", saved(image, kind), (TAKEN,))


def turned(orientation: int, kind: str) -> bytes:
    """The four quarters as a camera stores them that was held so."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(Image.fromarray(np.ascontiguousarray(STORED[orientation](QUARTERS))), kind, exif=exif)


def orientations() -> Iterator[File]:
    for kind in FORMATS:
        yield from (File(f"turned-{n}-{kind.lower()}", turned(n, kind), (TAKEN,)) for n in STORED)


def with_metadata() -> Iterator[File]:
    """Pictures that say where and by whom they were taken."""
    exif = Image.Exif()
    exif[0x010E] = SECRET.decode()
    exif.get_ifd(0x8825)[29] = SECRET.decode()
    exif.get_ifd(0x8769)[0x9286] = SECRET
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes() + SECRET
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", SECRET.decode())
    text.add_itxt("XML:com.adobe.xmp", SECRET.decode())
    iptc = segment(0xED, b"Photoshop 3.0\x008BIM\x04\x04\0\0" + struct.pack(">I", 16) + b"\x1c\x02\x78\0\x0b" + SECRET)
    own = {
        "JPEG": {"xmp": SECRET, "comment": SECRET},
        "PNG": {"pnginfo": text},
        "WEBP": {"xmp": SECRET},
        "TIFF": {"tiffinfo": {700: SECRET, 33723: SECRET, 315: SECRET.decode()}},
    }
    for kind in FORMATS:
        image = Image.fromarray(QUARTERS)
        given = own[kind] if kind == "TIFF" else {"exif": exif, **own[kind]}
        yield File(f"metadata-{kind.lower()}", saved(image, kind, icc_profile=profile, **given), (TAKEN,))
    yield File("metadata-iptc", jpeg(64, 40, extra=iptc), (TAKEN,))
    yield File("metadata-exif-tiff", saved(Image.fromarray(QUARTERS), "TIFF", exif=exif), (TAKEN,))


def others() -> Iterator[File]:
    """A picture in every other format that Pillow writes here, in each mode it takes."""
    Image.init()
    for kind in sorted(set(Image.SAVE) - _READ):
        for mode in ("1", "L", "P", "RGB", "RGBA", "I;16", "F"):
            with contextlib.suppress(Exception), warnings.catch_warnings(action="ignore"):
                data = saved(Image.fromarray(QUARTERS).convert(mode), kind)
                yield File(f"other-{kind.lower()}-{mode}", data, (UNSUPPORTED,))


def broken() -> Iterator[File]:
    """Nothing at all, only a beginning, and a stump of each."""
    stumps = {"empty": b"", "one-byte": b"\xff", "zeros": bytes(1000), "text": b"hello", "svg": b"<svg/>"}
    yield from (File(name, data, (UNSUPPORTED,)) for name, data in stumps.items())
    yield File("riff", riff(b"VP8 "), (CORRUPT,))
    yield File("random", np.random.default_rng(3).bytes(5000), (UNSUPPORTED,))
    for kind in FORMATS:
        data = saved(Image.fromarray(NOISE), kind)
        for cut in (20, len(data) // 2, len(data) - 40):
            yield File(f"cut-{kind.lower()}-{cut}", data[:cut], (CORRUPT,))
        yield File(f"twice-{kind.lower()}", data[: len(data) // 2] + data, (TAKEN, CORRUPT))
