"""Calls about webhooks: the secret that signs them, and their deliveries."""

from collections.abc import Iterator, Sequence
from typing import Any

from .models import Resource
from .transport import Connection, path_of

_WEBHOOKS = "/v1/webhooks"
_DELIVERIES = f"{_WEBHOOKS}/deliveries"


class WebhookSecret(Resource):
    """The secret that signs webhooks; the previous one stays valid until `previous_until`."""

    secret: str
    previous_until: str | None = None


class Delivery(Resource):
    """An event sent to a webhook: `pending`, `delivered` or `failed`, with every attempt in `log`."""

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


class WebhookCalls(Connection):
    """The webhooks of the key's owner."""

    def webhook_secret(self) -> WebhookSecret:
        """Return the secret that signs the owner's webhooks."""
        return self._get(WebhookSecret, "GET", f"{_WEBHOOKS}/secret")

    def rotate_webhook_secret(self) -> WebhookSecret:
        """Replace the secret; until `previous_until`, webhooks are signed with both."""
        return self._get(WebhookSecret, "POST", f"{_WEBHOOKS}/secret/rotate")

    def test_webhook(self, url: str) -> Delivery:
        """Send a `webhook.test` event to `url`; the delivery shows later how it went."""
        return self._create(Delivery, f"{_WEBHOOKS}/test", json={"url": url})

    def deliveries(self, *, state: str | None = None, limit: int | None = None) -> Iterator[Delivery]:
        """Yield deliveries, newest first: all, or those that are `pending`, `delivered` or `failed`."""
        return self._list(Delivery, _DELIVERIES, "deliveries", {"state": state}, limit)

    def delivery(self, delivery_id: str) -> Delivery:
        """Return a delivery with all its attempts."""
        return self._get(Delivery, "GET", path_of(_DELIVERIES, delivery_id))

    def redeliver(self, delivery_id: str) -> Delivery:
        """Send an event again, as a new delivery."""
        return self._create(Delivery, path_of(_DELIVERIES, delivery_id, "redeliver"))
