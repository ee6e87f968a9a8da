"""What is no image, not whole or too large is refused by the right name, before it costs anything."""

import contextlib
import struct
import tracemalloc
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from shared.errors import CorruptImage, ImageTooLarge, UnsupportedImage
from tests.hostile.image_headers import tiff
from tests.support.sample_images import NOISE, QUARTERS, decode, inspect, saved


@pytest.mark.parametrize("keep", [n / 10 for n in range(10)])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
    ],
)
def test_a_truncated_picture_is_refused_wherever_it_ends(kind, options, keep) -> None:
    data = saved(Image.fromarray(NOISE), kind, **options)
    cut = data[: max(20, int(len(data) * keep))]
    for read in (inspect, decode):
        with pytest.raises(CorruptImage):
            read(cut)


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"hello", b"\0" * 100, b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.7"]
)
def test_what_is_no_image_is_unsupported(data) -> None:
    for read in (inspect, decode):
        with pytest.raises(UnsupportedImage):
            read(data)


def other_formats() -> dict[str, bytes]:
    """A picture in every other format that Pillow can write here."""
    Image.init()
    written = {}
    for kind in sorted(set(Image.SAVE) - {"JPEG", "PNG", "WEBP", "TIFF", "MPO", "GIF", "BMP", "AVIF"}):
        for mode in ("RGB", "P", "1"):
            with contextlib.suppress(OSError, ValueError), warnings.catch_warnings(action="ignore"):
                written[kind] = saved(Image.fromarray(QUARTERS).convert(mode), kind)
    return written


OTHERS = other_formats()


def test_there_are_other_formats_to_refuse() -> None:
    assert {"PPM", "TGA", "ICO", "EPS", "PDF", "JPEG2000", "DIB", "ICNS"} <= set(OTHERS)


@pytest.mark.parametrize("kind", OTHERS)
def test_no_other_format_is_opened(kind) -> None:
    for read in (inspect, decode):
        with pytest.raises(UnsupportedImage):
            read(OTHERS[kind])


def test_flipped_bytes_never_leak_another_kind_of_error() -> None:
    random = np.random.default_rng(1)
    refused = (CorruptImage, UnsupportedImage, ImageTooLarge)
    for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        whole = saved(Image.fromarray(NOISE[:16, :16]), kind)
        for _ in range(150):
            data = np.frombuffer(whole, np.uint8).copy()
            data[random.integers(0, min(len(data), 400), 6)] = random.integers(0, 256, 6)
            try:
                decode(data.tobytes())
            except refused:
                continue


def test_too_many_bytes_are_refused_before_anything_is_read() -> None:
    with pytest.raises(ImageTooLarge) as raised:
        inspect(b"never looked at" * 10, max_bytes=149)
    assert raised.value.fields == {"size_bytes": 150, "max_bytes": 149}


def test_the_bounds_themselves_are_allowed() -> None:
    data = saved(Image.fromarray(QUARTERS))
    assert inspect(data, max_bytes=len(data), max_px=64 * 40).width == 64
    with pytest.raises(ImageTooLarge) as raised:
        inspect(data, max_px=64 * 40 - 1)
    assert raised.value.fields["width"] == 64
    assert raised.value.fields["max_px"] == 64 * 40 - 1


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(10**6)))
        + chunk(b"IEND", b"")
    )


def jpeg(width: int, height: int) -> bytes:
    data = saved(Image.fromarray(QUARTERS), "JPEG")
    at = data.index(b"\xff\xc0")
    return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]


def webp(width: int, height: int) -> bytes:
    """A lossless WebP whose own header, and the canvas around it, say another size."""
    frame = bytearray(saved(Image.fromarray(QUARTERS), "WEBP", lossless=True)[12:])
    side = frame.index(b"/", 8) + 1
    frame[side : side + 4] = struct.pack("<I", (width - 1) & 0x3FFF | (height - 1 & 0x3FFF) << 14)
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + canvas + frame
    return b"RIFF" + struct.pack("<I", len(body)) + body


BOMBS = {
    "png": png(60_000, 60_000), "png, one row": png(2**31 - 1, 1), "jpeg": jpeg(65_000, 65_000),
    "webp": webp(16_000, 16_000), "webp, more than any decoder": webp(2**24, 255),
    "tiff": tiff(60_000, 60_000, t273=300, t279=99, t278=60_000),
    "tiff, one huge tile": tiff(16, 16, t322=60_000, t323=60_000, t324=300, t325=99),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_by_its_header(name) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ImageTooLarge):
            inspect(BOMBS[name], max_px=50_000_000)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_nothing_is_decoded_before_the_bounds_are_judged(monkeypatch) -> None:
    monkeypatch.setattr(TiffImagePlugin.TiffImageFile, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(ImageTooLarge):
        inspect(BOMBS["tiff"])


def test_a_picture_without_pixels_is_corrupt() -> None:
    with pytest.raises(CorruptImage):
        inspect(tiff(0, 16, t273=300, t279=99))
