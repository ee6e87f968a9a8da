"""The webhooks in the document: the events sent, and the headers that authenticate them."""

from api.openapi.parameters import REF, JsonObject, parameter
from api.schemas.webhooks import WebhookView
from shared.webhooks.signing import EVENTS

__all__ = ["SENT", "describe"]

#: The body of every event.
SENT = WebhookView
_HEADERS = {
    "webhook-id": parameter("Identifies the event; the same in every attempt to deliver it.", type="string"),
    "webhook-timestamp": parameter("When it was sent, in Unix seconds; reject old events.", type="integer"),
    "webhook-signature": parameter(
        "`v1,` and the Base64 of the HMAC-SHA256 of `id.timestamp.body` with your secret; several, separated by "
        "spaces, while a secret is being replaced.",
        type="string",
    ),
}


def describe() -> dict[str, JsonObject]:
    """Describe every event by name."""
    return {event: {"post": _call(event, text)} for event, text in EVENTS.items()}


def _call(event: str, text: str) -> JsonObject:
    return {
        "tags": ["webhooks"],
        "operationId": f"told_{event.replace('.', '_')}",
        "summary": text.rstrip("."),
        "security": [],
        "parameters": [{"name": name, "in": "header", "required": True, **header} for name, header in _HEADERS.items()],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": REF.format(model=SENT.__name__)}}},
        },
        "responses": {
            "2XX": {"description": "The event has been received."},
            "default": {"description": "Any other response, or none within seconds: it is sent again later."},
        },
    }
