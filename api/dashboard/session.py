"""The browser's session: the cookie that identifies it, and protection against cross-site request forgery.

Invariant: an unsafe request is served only if it comes from our origin with the token that our pages contain.
"""

import hashlib
import hmac
from urllib.parse import urlsplit

from flask import Response, g, request

from api.access import Caller
from api.auth import caller_of, identified
from api.http import texts
from api.services import services
from shared.db.access import browser_sessions
from shared.errors import Forbidden, Unauthorized

COOKIE = "atelier_session"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def signed_in() -> Caller:
    """Return the caller of this request; raise `Unauthorized`, or `Forbidden` for a forged request."""
    token = session_token()
    found = identified(token, _find)
    g.csrf = csrf_token(token)
    if request.method not in _SAFE:
        require_own_origin()
        _require_token()
        texts.check_fields(request.form, several_lines=True)  # one line or several, their models say
    return found


def csrf_token(token: str) -> str:
    """Return the token that our forms send; it does not reveal the cookie that it is derived from."""
    return hmac.new(token.encode(), b"csrf", hashlib.sha256).hexdigest()


def require_own_origin() -> None:
    """Raise `Forbidden` for a request that comes from another site or hides its origin."""
    origin = request.headers.get("Origin")
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    if site != "same-origin" or origin is None or urlsplit(origin)[:2] != (request.scheme, request.host):
        raise Forbidden("This request did not come from a page of this service.")


def remember(response: Response, token: str) -> None:
    """Set the session cookie; the server decides when the session ends."""
    response.set_cookie(
        cookie_name(),
        token,
        max_age=int(browser_sessions.LIFETIME_S),
        path=_cookie_path(),
        httponly=True,
        samesite="Lax",
        secure=request.is_secure,
    )


def forget(response: Response) -> None:
    """Delete the session cookie."""
    response.delete_cookie(cookie_name(), path=_cookie_path(), secure=request.is_secure)


def cookie_name() -> str:
    """Return the cookie's name; under TLS it has a prefix, so that no page without TLS or of another host can set it.

    Source: RFC 6265bis, section 4.1.3.
    """
    if not request.is_secure:
        return COOKIE
    return f"__Secure-{COOKIE}" if request.script_root else f"__Host-{COOKIE}"


def session_token() -> str:
    """Return the token that the browser sent; empty if it sent none."""
    return request.cookies.get(cookie_name(), "")


def _cookie_path() -> str:
    return request.script_root or "/"


def _find(token: str) -> Caller:
    with services().database.reading() as session:
        key = browser_sessions.find(session, token) if token else None
    if key is None:
        raise Unauthorized("Sign in first.")
    return caller_of(key)


def _require_token() -> None:
    given = request.headers.get("X-CSRF-Token") or request.form.get("csrf", "")
    if not hmac.compare_digest(given.encode(), g.csrf.encode()):
        raise Forbidden("This page has expired; reload it and try again.")
