"""The events of webhooks and their signatures. Source: Standard Webhooks, specification of the signature scheme.

The signature covers id, timestamp and body: a receiver can reject replayed and forged requests.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

from shared.states import TERMINAL

#: The event of a test request.
TEST_EVENT = "webhook.test"
#: Each event and its description.
EVENTS: dict[str, str] = {
    **{f"job.{state}": f"A job has {'been ' if state == 'canceled' else ''}{state}." for state in sorted(TERMINAL)},
    "batch.finished": "All items of a batch have ended; adding items later makes it finish again.",
    "batch.canceled": "A batch was canceled and all of its items have ended.",
    TEST_EVENT: "A test request; nothing has happened.",
}
_PREFIX = "whsec_"
_SECRET_BYTES = 32


def new_secret() -> str:
    """Generate a signing secret."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def signature(secret: str, request_id: str, timestamp: int, body: bytes) -> str:
    """Return the signature: `v1,` and the Base64 of the HMAC-SHA256."""
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    signed = f"{request_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def headers(signing: Sequence[str], request_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers of a request, signed with each of the secrets."""
    return {
        "webhook-id": request_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signature(secret, request_id, timestamp, body) for secret in signing),
        "content-type": "application/json",
        "user-agent": "Atelier",
    }
