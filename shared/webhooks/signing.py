"""What a webhook says and how it is signed. Source: Standard Webhooks, specification of the signature scheme.

The signed text is id, timestamp and body, so that nobody sends an old call again or another body under our name.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

from shared.states import TERMINAL

#: The event of a call that only tries a webhook out.
TEST_EVENT = "webhook.test"
#: Each event and what it says.
EVENTS: dict[str, str] = {
    **{f"job.{state}": f"A job has {'been ' if state == 'canceled' else ''}{state}." for state in sorted(TERMINAL)},
    "batch.finished": "Each item of a batch has ended; one that is added to later finishes again.",
    "batch.canceled": "A batch has been canceled, and each of its items has ended.",
    TEST_EVENT: "Nothing has happened; somebody tries whether calls arrive.",
}
_PREFIX = "whsec_"
_SECRET_BYTES = 32


def new_secret() -> str:
    """Make a secret to sign with."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def signature(secret: str, call_id: str, timestamp: int, body: bytes) -> str:
    """Sign a call: `v1,` and the Base64 of its HMAC-SHA256."""
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    signed = f"{call_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def headers(signing: Sequence[str], call_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Write the fields of a call that is signed with each of the secrets."""
    return {
        "webhook-id": call_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signature(secret, call_id, timestamp, body) for secret in signing),
        "content-type": "application/json",
        "user-agent": "Atelier",
    }
