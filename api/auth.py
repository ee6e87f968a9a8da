"""Authentication: every request brings an API key or a browser session, and reaches only views that its role allows.

Keys are looked up here, and tokens of event streams; the pages of the dashboard look up sessions, with the view's
attribute `finds_caller`.
Callers are cached for a second, so that polling does not read the database each time. The process that revokes a key
or ends a session forgets its cache at once, the others within that second.

Invariant: a view that declares nothing is closed to all but operators.
"""

import hashlib
from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from typing import Any, TypeVar

import structlog
from flask import Flask, Response, current_app, g, request
from sqlalchemy.orm import Session

from api.access import Access, Caller
from api.http.rate_limits import RateLimitStatus
from api.jobs import stream_tokens
from api.live.ttl_cache import TtlCache
from api.services import services
from shared.db.access import keys
from shared.db.models import ApiKey
from shared.errors import DatabaseUnavailable, Forbidden, Unauthorized
from shared.states import Role

View = TypeVar("View", bound=Callable[..., Any])
Chunk = TypeVar("Chunk", str, bytes)

#: Where an app keeps its `CallerCache`.
_EXTENSION = "atelier_callers"
#: How long a caller is cached, in seconds.
_CACHED_S = 1.0


class CallerCache(TtlCache[tuple[object, bytes], Caller]):
    """Callers by their tokens; any number of threads may use it."""

    def __init__(self) -> None:
        """Start empty."""
        super().__init__(_CACHED_S)

    def caller(self, token: str, look_up: Callable[[str], Caller]) -> Caller:
        """Return the caller with `token`, from the cache or by `look_up`; raise what that raises."""
        key = look_up, hashlib.sha256(token.encode()).digest()  # so that no cookie passes for an API key
        known = self.get(key)
        if known is None:
            known = look_up(token)
            self.keep(key, known)
        return known


def register(app: Flask) -> None:
    """Guard every route of `app`."""
    app.extensions[_EXTENSION] = CallerCache()
    app.before_request(_authenticate)
    app.after_request(_add_rate_limit)


def public(view: View) -> View:
    """Declare that a view outside the API needs no key."""
    view.access = Access.PUBLIC  # type: ignore[attr-defined]
    return view


def caller() -> Caller:
    """Return who makes this request; only for views that need a key."""
    found: Caller = g.caller
    return found


def caller_cache() -> CallerCache:
    """Return the callers cached by the app that handles this request."""
    found: CallerCache = current_app.extensions[_EXTENSION]
    return found


def identified(token: str, look_up: Callable[[str], Caller]) -> Caller:
    """Return the caller of this request, by what `while_valid` looks up again."""
    g.look_up_again = partial(caller_cache().caller, token, look_up)
    return caller_cache().caller(token, look_up)


def while_valid(chunks: Generator[Chunk, None, None]) -> Generator[Chunk, None, None]:
    """Pass on the chunks of this request's answer until its key is revoked or its session ends, and no longer.

    That is noticed at the next chunk, which streams send at least every 15 s; while the database is away, callers
    remain who they were.
    """
    app = current_app._get_current_object()  # type: ignore[attr-defined] # werkzeug's proxy
    look_up_again: Callable[[], Caller] = g.look_up_again

    def is_valid() -> bool:
        try:
            with app.app_context():
                look_up_again()
        except (Unauthorized, DatabaseUnavailable) as error:
            return isinstance(error, DatabaseUnavailable)
        return True

    return _taken_while(is_valid, chunks)


def _taken_while(is_valid: Callable[[], bool], chunks: Generator[Chunk, None, None]) -> Generator[Chunk, None, None]:
    with closing(chunks):
        for chunk in chunks:
            if not is_valid():
                return
            yield chunk


def access_of(view: Callable[..., Any]) -> Access:
    """Return what a view needs."""
    declared: Access = getattr(view, "access", Access.OPERATE)
    return declared


def _authenticate() -> None:
    if request.endpoint is None or request.endpoint == "static":  # 404, or a public file
        return
    view = current_app.view_functions[request.endpoint]
    access = access_of(view)
    if access is Access.PUBLIC:
        return
    by_cookie = getattr(view, "finds_caller", None)
    g.caller = (by_cookie or (_by_token if _brings_token(view) else _by_key))()
    structlog.contextvars.bind_contextvars(key_id=g.caller.key_id)
    if by_cookie and request.method == "GET":  # open pages poll, and are not the key's programs
        services().rate_limits.count_page(g.caller)
    else:
        g.rate_limit = services().rate_limits.count(g.caller)  # requests that are forbidden count too
    if g.caller.role not in access.value:
        raise Forbidden(f"The role {g.caller.role} does not allow that.", role=g.caller.role)


def _by_key() -> Caller:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthorized("Send an API key as `Authorization: Bearer …`; create one with `atelier keys create`.")
    return identified(token.strip(), _look_up)


def _brings_token(view: Callable[..., Any]) -> bool:
    """Return whether a request without a key has a token for this view."""
    declared = getattr(view, "operation", None)
    takes_token = bool(declared and declared.takes_token)
    return takes_token and "token" in request.args and "Authorization" not in request.headers


def _by_token() -> Caller:
    token, job_id = request.args["token"], (request.view_args or {})["job_id"]
    refusal = "That token has expired or is for another job; ask for a new one."
    found = _caller_by(lambda session: stream_tokens.find_key(session, token, job_id), refusal)
    return identified(found.key_id, _look_up_id)


def _add_rate_limit(response: Response) -> Response:
    status: RateLimitStatus | None = g.get("rate_limit")
    if status is not None:
        response.headers.update(status.headers())
    return response


def _look_up(token: str) -> Caller:
    return _caller_by(lambda session: keys.find(session, token), "That key is invalid or revoked.")


def _look_up_id(key_id: str) -> Caller:
    """Return the caller of the key with which a token was signed: the token may have expired since."""
    return _caller_by(lambda session: keys.find_by_id(session, key_id), "That key is revoked.")


def _caller_by(find: Callable[[Session], ApiKey | None], refusal: str) -> Caller:
    """Return the caller of the key that `find` finds; raise `Unauthorized` without one."""
    with services().database.reading() as session:
        key = find(session)
    if key is None:
        raise Unauthorized(refusal)
    return caller_of(key)


def caller_of(key: ApiKey) -> Caller:
    """Return the caller that a key identifies."""
    return Caller(
        key_id=key.id,
        key_name=key.name,
        owner=key.owner,
        role=Role(key.role),
        max_waiting=key.max_waiting,
        max_work_per_day=key.max_work_per_day,
        max_requests_per_min=key.max_requests_per_min,
        max_retention_s=key.max_retention_s,
        max_stored_bytes=key.max_stored_bytes,
        default_stored_bytes=services().settings.stored_bytes or None,
    )
