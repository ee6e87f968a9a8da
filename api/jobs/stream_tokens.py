"""Tokens that open the events of one job for a minute, for `EventSource` in browsers, which cannot send a key.

A token names its key and its job, and is signed with the hash of the key's secret, which all processes of the API find
in the database: no other secret has to be kept or shared. Whoever can read that hash can read the jobs as well.

Invariant: a token opens no more than its key does, for one job, and nothing once the key is revoked.
"""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from itsdangerous import BadSignature, URLSafeTimedSerializer
from sqlalchemy.orm import Session

from shared.db.access import keys
from shared.db.models import ApiKey

#: How long a token opens a stream, in seconds; the stream itself may last longer.
LIFETIME_S = 60
_SALT = "atelier: events of a job"


class StreamToken(NamedTuple):
    """A token, and when it opens nothing any more."""

    text: str
    expires_at: datetime


def issue(key: ApiKey, job_id: str) -> StreamToken:
    """Make a token that opens the events of a job to whoever has it, as if with `key`."""
    signer = _signer(key.secret_hash)
    text = signer.dumps([key.id, job_id])
    assert isinstance(text, str)
    signed_at = signer.loads(text, return_timestamp=True)[1]
    return StreamToken(text, signed_at.astimezone(UTC) + timedelta(seconds=LIFETIME_S))


def find_key(session: Session, token: str, job_id: str) -> ApiKey | None:
    """Return the key that `token` stands for, or None if it does not open the events of this job now."""
    claimed = _signer("").loads_unsafe(token)[1]  # only tells whose signature to expect
    if not (isinstance(claimed, list) and len(claimed) == 2 and isinstance(claimed[0], str)):
        return None
    key = keys.find_by_id(session, claimed[0])
    try:
        signed = _signer(key.secret_hash if key else "").loads(token, max_age=LIFETIME_S)
    except BadSignature:
        return None
    return key if signed == [claimed[0], job_id] else None


def _signer(secret_hash: str) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(
        secret_hash, salt=_SALT, signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256}
    )
