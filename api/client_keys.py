"""The client's calls about keys, for operators."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel

from api.client_http import Connection
from api.client_models import Answer


class Key(Answer):
    """A key to the API; `key` is what opens, and there only when it was just made."""

    id: str
    name: str
    owner: str
    role: str
    key: str | None = None
    created_at: str | None = None
    revoked_at: str | None = None


class _Page(BaseModel):
    keys: list[Key]


class KeyCalls(Connection):
    """What an operator does with keys."""

    def create_key(self, name: str, *, role: str = "client", owner: str | None = None, **limits: Any) -> Key:
        """Make a key; its `key` is shown this once. `limits` are those of `POST /v1/keys`.

        However often the request is lost on its way, one key is made. If the answer was lost, that is a problem
        `already_made`, which names the key: revoke it and make another.
        """
        asked = {"name": name, "role": role, "owner": owner, **limits}
        body = {field: value for field, value in asked.items() if value is not None}
        return self._make(Key, "/v1/keys", json=body)

    def keys(self) -> Iterator[Key]:
        """Yield all keys, revoked ones too, oldest first."""
        url = "/v1/keys"
        while url:
            answer = self._request("GET", url)
            yield from self._read(_Page, answer).keys
            url = answer.links.get("next", {}).get("url", "")

    def revoke_key(self, key_id: str) -> None:
        """Have a key open nothing any more."""
        self._request("DELETE", f"/v1/keys/{quote(key_id, safe='')}")
