"""Images that are refused, each with its status and code, and what of them is stored."""

import struct
import zlib
from io import BytesIO

from PIL import Image

from shared.imaging import codec
from tests.support.factories import picture


def _bomb() -> bytes:
    """A PNG of a few bytes whose header says 30000 × 30000."""
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    body = struct.pack(">I", len(header)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + body + b"\0\0\0\0IDAT\x35\xaf\x06\x1e"


def _png(mode: str, colour: tuple[int, ...]) -> bytes:
    buffer = BytesIO()
    Image.new(mode, (4, 4), colour).save(buffer, "PNG")
    return buffer.getvalue()


PNG = codec.encode(picture(), format="png")


BAD = {
    "empty": (b"", 415, "unsupported_image"),
    "no image": (b"<html>hello</html>", 415, "unsupported_image"),
    "a format not ours": (b"P6 4 4 255 " + bytes(48), 415, "unsupported_image"),
    "nothing to see": (_png("RGBA", (9, 9, 9, 0)), 422, "blank_image"),
    "truncated": (PNG[: len(PNG) // 2], 422, "corrupt_image"),
    "damaged": (PNG[:60] + bytes(20) + PNG[80:], 422, "corrupt_image"),
    "a bomb": (_bomb(), 413, "image_too_large"),
}


def stored(settings) -> list[str]:
    from shared.storage.store import open_store

    return list(open_store(settings.storage_url).list("images/"))
