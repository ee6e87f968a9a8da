"""Sign-ins: browsers that someone opened with an API key, so that the key itself need not stay in them.

A token has 256 random bits, so that a plain hash of it is as good as a slow one; only that hash is kept.

Invariant: a sign-in opens nothing once its key is revoked, its time is over or it was ended.
"""

from __future__ import annotations

import hashlib
import secrets

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from shared import clock
from shared.db import sql_clock
from shared.db.models import ApiKey
from shared.db.models.admin import BrowserSession

#: How long a browser stays signed in, in seconds: a working day.
LIFETIME_S = 12 * 3600.0
_TOKEN_BYTES = 32


def create(session: Session, key_id: str, *, lifetime_s: float = LIFETIME_S) -> str:
    """Sign a browser in with a key for `lifetime_s` seconds; return the token for its cookie, for this once."""
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    made = BrowserSession(
        token_hash=_hash(token), key_id=key_id, created_at=clock.now(), expires_at=sql_clock.now_plus(lifetime_s)
    )
    session.add(made)
    session.flush()
    return token


def find(session: Session, token: str) -> ApiKey | None:
    """Return the key that a browser is signed in with, unless that is over."""
    query = (
        select(ApiKey)
        .join(BrowserSession, BrowserSession.key_id == ApiKey.id)
        .where(
            BrowserSession.token_hash == _hash(token),
            BrowserSession.expires_at > sql_clock.now_plus(0),
            ApiKey.revoked_at.is_(None),
        )
    )
    return session.scalar(query)


def end(session: Session, token: str) -> None:
    """Sign a browser out; one that is not signed in stays so."""
    session.execute(delete(BrowserSession).where(BrowserSession.token_hash == _hash(token)))


def forget_expired(session: Session) -> int:
    """Delete the sign-ins whose time is over; return how many."""
    gone = (
        delete(BrowserSession)
        .where(BrowserSession.expires_at <= sql_clock.now_plus(0))
        .returning(BrowserSession.token_hash)
    )
    return len(session.scalars(gone).all())


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
