"""Files whose headers promise more than there is, or hide much in little: PNG, JPEG, WebP and TIFF by hand."""

import io
import struct
import zlib

from PIL import Image, TiffImagePlugin

from tests.support.sample_images import QUARTERS, saved

_PNG = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, *, extra: bytes = b"", depth: int = 8, color: int = 2, pixels: bytes = b"") -> bytes:
    """A PNG of that size; without `pixels` its data are those of a small one."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    return _PNG + header + extra + chunk(b"IDAT", zlib.compress(pixels or bytes(1000), 9)) + chunk(b"IEND", b"")


def whole_png(extra: bytes = b"") -> bytes:
    """A PNG of 8 × 8 that is right, with chunks before its pixels."""
    return png(8, 8, extra=extra, pixels=bytes(8 * 25))


def jpeg(width: int, height: int, *, extra: bytes = b"", **options) -> bytes:
    data = saved(Image.fromarray(QUARTERS), "JPEG", **options)
    at = next(at for at in range(2, len(data)) if data[at : at + 2] in (b"\xff\xc0", b"\xff\xc2"))
    return data[:2] + extra + data[2 : at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def webp(width: int, height: int) -> bytes:
    """A lossless WebP whose own header, and the canvas around it, say that size."""
    frame = bytearray(saved(Image.fromarray(QUARTERS), "WEBP", lossless=True)[12:])
    side = frame.index(b"/", 8) + 1
    frame[side : side + 4] = struct.pack("<I", (width - 1) & 0x3FFF | ((height - 1) & 0x3FFF) << 14)
    return riff(b"VP8X" + struct.pack("<I", 10) + bytes(4) + _three(width - 1) + _three(height - 1) + bytes(frame))


def lossy_webp(width: int, height: int) -> bytes:
    """A lossy WebP that says that size."""
    data = bytearray(saved(Image.fromarray(QUARTERS), "WEBP"))
    at = data.index(b"\x9d\x01\x2a") + 3
    data[at : at + 4] = struct.pack("<HH", width & 0x3FFF, height & 0x3FFF)
    return bytes(data)


def riff(body: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _three(value: int) -> bytes:
    return value.to_bytes(3, "little")


def tiff(width: int, height: int, *, data: bytes = b"", **tags) -> bytes:
    """A TIFF of one strip that says of itself whatever is asked: `t259=8` sets tag 259 to 8."""
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    fields = {256: width, 257: height, 258: 8, 259: 8, 262: 1, 277: 1} | {int(key[1:]): tags[key] for key in tags}
    for tag, value in fields.items():
        directory[tag] = value
    buffer = io.BytesIO(b"II*\0\x08\0\0\0")
    buffer.seek(8)
    directory.save(buffer)
    return buffer.getvalue() + (data or zlib.compress(bytes(10**5)))


def deflated_tiff(width: int, height: int, raw: bytes, **tags) -> bytes:
    """A TIFF of one deflated strip that is where its tags say."""
    data = zlib.compress(raw, 9)
    tags = {"t273": 0, "t278": height, "t279": len(data)} | tags
    offset = len(tiff(width, height, data=b"-", **tags)) - 1
    return tiff(width, height, data=data, **tags | {"t273": offset})


def tiff_chain(count: int, *, loops: bool = False) -> bytes:
    """A TIFF of `count` directories, the first of a whole picture; the last leads back to the first if it `loops`."""
    entries = [(256, 3, 1, 4), (257, 3, 1, 4), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
    entries += [(277, 3, 1, 1), (278, 3, 1, 4), (279, 4, 1, 16)]
    size = 2 + 12 * len(entries) + 4
    data = b"II*\0" + struct.pack("<I", 24) + bytes(range(0, 160, 10))
    for number in range(count):
        follows = 24 + size * (number + 1) if number + 1 < count else (24 if loops else 0)
        data += struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
        data += struct.pack("<I", follows)
    return data
