"""The client's calls about webhooks: the secret that they are signed with, and how their deliveries went."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel

from api.client.models import Answer
from api.client.transport import Connection, path_of

_WEBHOOKS = "/v1/webhooks"
_DELIVERIES = f"{_WEBHOOKS}/deliveries"
#: Deliveries asked for at a time.
_PAGE = 100


class WebhookSecret(Answer):
    """What webhooks are signed with; the one before counts until `previous_until`."""

    secret: str
    previous_until: str | None = None


class Delivery(Answer):
    """An event that is told to a webhook: `pending`, `delivered` or `failed`, and each attempt in `log`."""

    id: str
    state: str
    event: str | None = None
    url: str | None = None
    subject_id: str | None = None
    attempts: int = 0
    created_at: str | None = None
    next_at: str | None = None
    ended_at: str | None = None
    log: Sequence[dict[str, Any]] = ()


class _Page(BaseModel):
    deliveries: list[Delivery]


class Webhooks(Connection):
    """The webhooks of the key's owner."""

    def webhook_secret(self) -> WebhookSecret:
        """Return what the owner's webhooks are signed with."""
        return self._get(WebhookSecret, "GET", f"{_WEBHOOKS}/secret")

    def rotate_webhook_secret(self) -> WebhookSecret:
        """Sign with a new secret from now on, and for a while with the one before too."""
        return self._get(WebhookSecret, "POST", f"{_WEBHOOKS}/secret/rotate")

    def test_webhook(self, url: str) -> Delivery:
        """Have an event `webhook.test` told to `url`; the delivery says later how that went."""
        return self._make(Delivery, f"{_WEBHOOKS}/test", json={"url": url})

    def deliveries(self, *, state: str | None = None, limit: int | None = None) -> Iterator[Delivery]:
        """Yield deliveries, newest first: all, or those that are `pending`, `delivered` or `failed`."""
        query: dict[str, Any] = {"state": state, "limit": min(limit or _PAGE, _PAGE)}
        pages = self._pages_of_deliveries({name: value for name, value in query.items() if value})
        yield from itertools.islice(itertools.chain.from_iterable(pages), limit)

    def delivery(self, delivery_id: str) -> Delivery:
        """Return a delivery as it is now, with all its attempts."""
        return self._get(Delivery, "GET", path_of(_DELIVERIES, delivery_id))

    def redeliver(self, delivery_id: str) -> Delivery:
        """Have an event told once more, as another delivery."""
        return self._make(Delivery, path_of(_DELIVERIES, delivery_id, "redeliver"))

    def _pages_of_deliveries(self, query: dict[str, Any] | None) -> Iterator[list[Delivery]]:
        url = _DELIVERIES
        while url:
            answer = self._request("GET", url, params=query)
            yield self._read(_Page, answer).deliveries
            url, query = answer.links.get("next", {}).get("url", ""), None
