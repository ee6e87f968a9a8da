"""API keys: made, found by what a request brings, listed, revoked.

A key reads `atl_<id>_<secret>`. Its secret part has 256 random bits, so that a plain hash of it is as good as a slow
one; only that hash is kept.

Invariant: a key in full is known to its holder alone, and to us while it is made and while a request is answered.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import datetime

from sqlalchemy import func, inspect, select, update
from sqlalchemy.orm import Session

from shared import clock
from shared.db.models import ApiKey
from shared.errors import IllegalTransition, Misconfigured, NotFound
from shared.states import Role

_PREFIX = "atl"
_ID_BYTES, _SECRET_BYTES = 6, 32


def create(session: Session, key: ApiKey) -> str:
    """Keep a new key, whose name, owner, role and limits are set; return it in full, for this once."""
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    key.id = secrets.token_hex(_ID_BYTES)
    key.secret_hash = _hash(secret)
    key.created_at = clock.now()
    session.add(key)
    session.flush()
    return f"{_PREFIX}_{key.id}_{secret}"


def find(session: Session, token: str) -> ApiKey | None:
    """Return the key that `token` is, unless it is revoked or none of ours."""
    prefix, _, rest = token.partition("_")
    key_id, _, secret = rest.partition("_")
    key = session.get(ApiKey, key_id) if prefix == _PREFIX else None
    expected = key.secret_hash if key else _hash("")  # as long for an id that is not ours
    matches = hmac.compare_digest(_hash(secret), expected)
    return key if key and matches and key.revoked_at is None else None


def get_key(session: Session, key_id: str) -> ApiKey:
    """Return a key, revoked or not; raise `NotFound`."""
    found = session.get(ApiKey, key_id)
    if found is None:
        raise NotFound(f"There is no key {key_id}.")
    return found


def list_keys(session: Session, *, after: tuple[datetime, str] | None = None, limit: int) -> list[ApiKey]:
    """Return up to `limit` keys, revoked ones too, oldest first, those after one's moment and id."""
    query = select(ApiKey).order_by(ApiKey.created_at, ApiKey.id).limit(limit)
    if after is not None:
        moment, key_id = after
        query = query.where(
            (ApiKey.created_at > moment) | ((ApiKey.created_at == moment) & (ApiKey.id > key_id)),
        )
    return list(session.scalars(query))


def revoke(session: Session, key_id: str) -> None:
    """Have a key open nothing any more, for good; raise `NotFound`, or `IllegalTransition` for the last operator's."""
    # two at once must not each take the other's for the one that stays; in the order in which `quotas` locks keys
    concerned = select(ApiKey.id).where((ApiKey.role == Role.OPERATOR) | (ApiKey.id == key_id))
    session.execute(concerned.order_by(ApiKey.id).with_for_update())
    revoked = update(ApiKey).where(ApiKey.id == key_id).values(revoked_at=func.coalesce(ApiKey.revoked_at, clock.now()))
    if session.scalar(revoked.returning(ApiKey.id)) is None:
        raise NotFound(f"There is no key {key_id}.")
    if not any_operator(session):
        raise IllegalTransition("This is the last key that opens everything; make another before it goes.")


def ensure_table(session: Session) -> None:
    """Raise `Misconfigured` with the mend while there is no table of keys."""
    if not inspect(session.connection()).has_table(ApiKey.__tablename__):
        raise Misconfigured("The database has no tables for keys yet: run `atelier db upgrade`.")


def any_operator(session: Session) -> bool:
    """Say whether there is a key that opens everything."""
    query = select(ApiKey.id).where(ApiKey.role == Role.OPERATOR, ApiKey.revoked_at.is_(None)).limit(1)
    return session.scalar(query) is not None


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
