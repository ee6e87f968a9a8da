"""Who a browser is: the cookie of its sign-in, and the proof that a request comes from our own pages.

Invariant: no unsafe request is served unless it comes from our origin with the token that only our pages know.
"""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import urlsplit

from flask import Response, g, request

from api.access import Caller
from api.auth import caller_cache, caller_of
from api.services import services
from shared.db.access import browser_sessions
from shared.errors import Forbidden, InvalidParams, Unauthorized

COOKIE = "atelier_session"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def signed_in() -> Caller:
    """Return who is signed in, for a request that may be served; raise `Unauthorized` or `Forbidden`."""
    token = request.cookies.get(COOKIE, "")
    found = caller_cache().caller(token, _looked_up)
    g.csrf = csrf_token(token)
    if request.method not in _SAFE:
        require_own_origin()
        _require_token()
        _refuse_nul()
    return found


def csrf_token(token: str) -> str:
    """Return what our pages send along with a change; it tells nothing of the cookie."""
    return hmac.new(token.encode(), b"csrf", hashlib.sha256).hexdigest()


def require_own_origin() -> None:
    """Raise `Forbidden` for a request that another site makes, or that hides who makes it."""
    origin = request.headers.get("Origin")
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    if site != "same-origin" or origin is None or urlsplit(origin).netloc != request.host:
        raise Forbidden("This was not sent from a page of this service.")


def remember(response: Response, token: str) -> None:
    """Have the browser keep a sign-in; the server ends it."""
    response.set_cookie(
        COOKIE,
        token,
        max_age=int(browser_sessions.LIFETIME_S),
        httponly=True,
        samesite="Lax",
        secure=request.is_secure,
    )


def _looked_up(token: str) -> Caller:
    with services().database.reading() as session:
        key = browser_sessions.find(session, token) if token else None
    if key is None:
        raise Unauthorized("Sign in first.")
    return caller_of(key)


def _require_token() -> None:
    given = request.headers.get("X-CSRF-Token") or request.form.get("csrf", "")
    if not hmac.compare_digest(given.encode(), g.csrf.encode()):
        raise Forbidden("The page was too old; load it again.")


def _refuse_nul() -> None:
    """Let no NUL through to the database, where PostgreSQL has no place for one."""
    for name, value in request.form.items(multi=True):
        if "\0" in value:
            raise InvalidParams(f"{name} has a character NUL.")
