"""Ids: UUIDv7 for rows, which sort by creation time; sha256 for images.

Invariant: an image's id is the hash of the uploaded bytes, so equal uploads are one image.
"""

import hashlib
import os
import re
import time
import uuid
from datetime import datetime

IMAGE_ID = re.compile(r"sha256:[0-9a-f]{64}")


def new_id() -> str:
    """Generate a UUIDv7: 48 bits of milliseconds, then 74 random bits. Source: RFC 9562, section 5.7."""
    milliseconds = time.time_ns() // 1_000_000
    value = milliseconds << 80 | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


def first_at(moment: datetime) -> str:
    """Return the smallest UUIDv7 of the millisecond of `moment`."""
    milliseconds = int(moment.timestamp() * 1000)
    return str(uuid.UUID(int=max(0, milliseconds) << 80 | 0x7 << 76 | 0x2 << 62))


def image_id(data: bytes) -> str:
    """Return the id of an image: `sha256:` and 64 hexadecimal digits."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def is_uuid(text: str) -> bool:
    """Return whether `text` is a UUID in its canonical lower-case form."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
