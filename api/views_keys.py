"""Rows as resources: what an operator sees of a key."""

from __future__ import annotations

from typing import Any

from api.schemas.admin import KeyView, NewKeyView
from shared.clock import rfc3339
from shared.db.models import ApiKey

_SHOWN = (
    "id", "name", "owner", "role", "max_waiting", "max_work_per_day", "max_requests_per_min", "max_retention_s",
)  # fmt: skip


def key_view(key: ApiKey) -> KeyView:
    """Show a key."""
    return KeyView(**_values(key))


def new_key_view(key: ApiKey, token: str) -> NewKeyView:
    """Show a key that was just made, in full."""
    return NewKeyView(**_values(key), key=token)


def _values(key: ApiKey) -> dict[str, Any]:
    moments = {"created_at": str(rfc3339(key.created_at)), "revoked_at": rfc3339(key.revoked_at)}
    return {name: getattr(key, name) for name in _SHOWN} | moments | {"links": {"self": f"/v1/keys/{key.id}"}}
