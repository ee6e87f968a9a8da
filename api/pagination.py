"""Keyset cursors: opaque to clients, an id inside."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode

from shared.errors import InvalidParams
from shared.ids import is_uuid

DEFAULT_LIMIT, MAX_LIMIT = 50, 200


def encode(last_id: str) -> str:
    """Make the cursor of the page below `last_id`."""
    return urlsafe_b64encode(last_id.encode()).decode().rstrip("=")


def decode(cursor: str | None) -> str | None:
    """Read a cursor that `encode` made; raise `InvalidParams` for any other."""
    if not cursor:
        return None
    try:
        last_id = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except ValueError:
        last_id = ""
    if not is_uuid(last_id):
        raise InvalidParams("The cursor is not one of ours.", errors=[{"pointer": "cursor", "detail": "not a cursor"}])
    return last_id


def limit(text: str | None) -> int:
    """Read how many rows a page shall have; raise `InvalidParams` out of bounds."""
    try:
        value = int(text) if text else DEFAULT_LIMIT
    except ValueError:
        value = 0
    if not 1 <= value <= MAX_LIMIT:
        mistake = {"pointer": "limit", "detail": "a whole number", "ge": 1, "le": MAX_LIMIT}
        raise InvalidParams(f"limit is a whole number from 1 to {MAX_LIMIT}.", errors=[mistake])
    return value
