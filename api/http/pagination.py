"""Keyset cursors: opaque to clients, the place of the last row inside."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode

from shared.errors import InvalidParams
from shared.ids import is_uuid

DEFAULT_LIMIT, MAX_LIMIT = 50, 200


def encode(last: str) -> str:
    """Make the cursor of the page after the row at `last`."""
    return urlsafe_b64encode(last.encode()).decode().rstrip("=")


def decode(cursor: str | None) -> str | None:
    """Read a cursor that `encode` made of an id; raise `InvalidParams` for any other."""
    last_id = decode_text(cursor)
    if last_id is not None and not is_uuid(last_id):
        raise not_ours()
    return last_id


def decode_text(cursor: str | None) -> str | None:
    """Read a cursor that `encode` made; raise `InvalidParams` for any other."""
    if not cursor:
        return None
    try:
        return urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except ValueError:
        raise not_ours() from None


def not_ours() -> InvalidParams:
    """Make the error of a cursor that is none."""
    return InvalidParams("The cursor is not one of ours.", errors=[{"pointer": "cursor", "detail": "not a cursor"}])


def limit(text: str | None) -> int:
    """Read how many rows a page shall have; raise `InvalidParams` out of bounds."""
    plain = text is not None and text.isascii() and text.isdigit() and len(text) <= 9
    value = DEFAULT_LIMIT if text is None else int(text) if plain else 0
    if not 1 <= value <= MAX_LIMIT:
        mistake = {"pointer": "limit", "detail": "a whole number", "ge": 1, "le": MAX_LIMIT}
        raise InvalidParams(f"limit is a whole number from 1 to {MAX_LIMIT}.", errors=[mistake])
    return value
