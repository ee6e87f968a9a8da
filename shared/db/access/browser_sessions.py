"""Browser sessions: someone signs in with an API key, and the browser keeps only a session token.

A token has 256 random bits, so a fast hash of it is as safe as a slow one; only that hash is stored.

Invariant: a session is invalid once its key is revoked, it has expired or it was ended.
"""

import secrets

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from shared import clock
from shared.db import sql_clock
from shared.db.access.keys import hash_secret
from shared.db.models import ApiKey
from shared.db.models.admin import BrowserSession

#: Lifetime of a session, in seconds.
LIFETIME_S = 12 * 3600.0
_TOKEN_BYTES = 32


def create(session: Session, key_id: str, *, lifetime_s: float = LIFETIME_S) -> str:
    """Create a session with a key; return the token for the cookie, which cannot be read again."""
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    times = {"created_at": clock.now(), "expires_at": sql_clock.now_plus(lifetime_s)}
    session.add(BrowserSession(token_hash=hash_secret(token), key_id=key_id, **times))
    session.flush()
    return token


def find(session: Session, token: str) -> ApiKey | None:
    """Return the key of a valid session, or None."""
    query = (
        select(ApiKey)
        .join(BrowserSession, BrowserSession.key_id == ApiKey.id)
        .where(
            BrowserSession.token_hash == hash_secret(token),
            BrowserSession.expires_at > sql_clock.now(),
            ApiKey.revoked_at.is_(None),
        )
    )
    return session.scalar(query)


def end(session: Session, token: str) -> None:
    """End a session, if it exists."""
    session.execute(delete(BrowserSession).where(BrowserSession.token_hash == hash_secret(token)))


def forget_expired(session: Session) -> int:
    """Delete the expired sessions; return how many."""
    expired = delete(BrowserSession).where(BrowserSession.expires_at <= sql_clock.now())
    return len(session.scalars(expired.returning(BrowserSession.token_hash)).all())
