"""The webhooks as OpenAPI has them: what we send, and how whoever gets it knows that we did."""

from __future__ import annotations

from api.openapi.parameters import REF, Part, given
from api.schemas.webhooks import WebhookView
from shared.webhooks.signing import EVENTS

__all__ = ["SENT", "described"]

#: The model of what is sent.
SENT = WebhookView
_HEADERS = {
    "webhook-id": given(
        "Names the call; the same each time it is tried, so that it can be counted once.", type="string"
    ),
    "webhook-timestamp": given("When it was sent, in seconds since 1970; refuse what is minutes old.", type="integer"),
    "webhook-signature": given(
        "`v1,` and the Base64 of HMAC-SHA256 over `id.timestamp.body` by your secret; several, apart by spaces, "
        "while a secret is replaced.",
        type="string",
    ),
}


def described() -> dict[str, Part]:
    """Describe every event, by name."""
    return {event: {"post": _call(event, text)} for event, text in EVENTS.items()}


def _call(event: str, text: str) -> Part:
    return {
        "tags": ["webhooks"],
        "operationId": f"told_{event.replace('.', '_')}",
        "summary": text.rstrip("."),
        "security": [],
        "parameters": [{"name": name, "in": "header", "required": True, **part} for name, part in _HEADERS.items()],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": REF.format(model=SENT.__name__)}}},
        },
        "responses": {
            "2XX": {"description": "Any of these takes the call as told."},
            "default": {"description": "With any other answer, or none within seconds, it is tried again later."},
        },
    }
