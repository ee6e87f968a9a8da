"""API keys: created, verified, listed and revoked.

A key is written `atl_<id>_<secret>`. The secret has 256 random bits, so a fast hash of it is as safe as a slow one.

Invariant: only the hash of a secret is stored.
"""

import hashlib
import hmac
import secrets
from datetime import datetime

from sqlalchemy import func, inspect, select, update
from sqlalchemy.orm import Session

from shared import clock
from shared.db.lookups import visible
from shared.db.models import ApiKey
from shared.errors import IllegalTransition, Misconfigured, NotFound
from shared.states import Role

_PREFIX = "atl"
_ID_BYTES, _SECRET_BYTES = 6, 32


def create(session: Session, key: ApiKey) -> str:
    """Insert a key whose name, owner, role and limits are set; return its full text, which cannot be read again."""
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    key.id = secrets.token_hex(_ID_BYTES)
    key.secret_hash = hash_secret(secret)
    key.created_at = clock.now()
    session.add(key)
    session.flush()
    return f"{_PREFIX}_{key.id}_{secret}"


def find(session: Session, token: str) -> ApiKey | None:
    """Return the key with the full text `token`, or None if it is unknown or revoked."""
    prefix, _, rest = token.partition("_")
    key_id, _, secret = rest.partition("_")
    key = session.get(ApiKey, key_id) if prefix == _PREFIX else None
    expected = key.secret_hash if key else hash_secret("")  # an unknown id takes as long
    matches = hmac.compare_digest(hash_secret(secret), expected)
    return key if key and matches and key.revoked_at is None else None


def find_by_id(session: Session, key_id: str) -> ApiKey | None:
    """Return a valid key, or None if it is unknown or revoked."""
    key = session.get(ApiKey, key_id)
    return key if key and key.revoked_at is None else None


def get_key(session: Session, key_id: str) -> ApiKey:
    """Return a key, revoked or not; raise `NotFound`."""
    return visible(session.get(ApiKey, key_id), f"key {key_id}")


def list_keys(session: Session, *, after: tuple[datetime, str] | None = None, limit: int) -> list[ApiKey]:
    """Return up to `limit` keys, including revoked ones, oldest first, after a creation time and id."""
    query = select(ApiKey).order_by(ApiKey.created_at, ApiKey.id).limit(limit)
    if after is not None:
        at, key_id = after
        query = query.where((ApiKey.created_at > at) | ((ApiKey.created_at == at) & (ApiKey.id > key_id)))
    return list(session.scalars(query))


def revoke(session: Session, key_id: str) -> None:
    """Revoke a key permanently; raise `NotFound`, or `IllegalTransition` for the last operator's key."""
    # locks all operators' keys, lest two calls revoke the last two; in the order in which `quotas` locks keys
    concerned = select(ApiKey.id).where((ApiKey.role == Role.OPERATOR) | (ApiKey.id == key_id))
    session.execute(concerned.order_by(ApiKey.id).with_for_update())
    revoked = update(ApiKey).where(ApiKey.id == key_id).values(revoked_at=func.coalesce(ApiKey.revoked_at, clock.now()))
    if session.scalar(revoked.returning(ApiKey.id)) is None:
        raise NotFound(f"There is no key {key_id}.")
    if not any_operator(session):
        raise IllegalTransition("This is the last operator's key; create another before revoking it.")


def ensure_table(session: Session) -> None:
    """Raise `Misconfigured` if the database has not been migrated."""
    if not inspect(session.connection()).has_table(ApiKey.__tablename__):
        raise Misconfigured("The database has no table of keys yet: run `atelier db upgrade`.")


def any_operator(session: Session) -> bool:
    """Return whether there is a valid operator's key."""
    query = select(ApiKey.id).where(ApiKey.role == Role.OPERATOR, ApiKey.revoked_at.is_(None)).limit(1)
    return session.scalar(query) is not None


def hash_secret(secret: str) -> str:
    """Return the hash under which a secret of 256 random bits is stored."""
    return hashlib.sha256(secret.encode()).hexdigest()
