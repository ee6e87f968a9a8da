"""The door: every request brings an API key, or a browser's sign-in, and passes only what the view behind it declares.

Either is looked up in the database and remembered for a second, so that polling costs no more statements than it
must; the process that revokes a key or ends a sign-in forgets it at once, others within that second.

Invariant: a view that declares nothing is closed to all but operators.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, TypeVar

import structlog
from flask import Flask, Response, current_app, g, request

from api.access import Access, Caller
from api.http.rate_limits import Standing
from api.live.ttl_cache import Recent
from api.services import services
from shared.db.access import keys
from shared.db.models import ApiKey
from shared.errors import Forbidden, Unauthorized
from shared.states import Role

View = TypeVar("View", bound=Callable[..., Any])

#: How long a key that was found good is not looked up again, in seconds.
_REMEMBERED_S = 1.0


class Door(Recent[tuple[object, bytes], Caller]):
    """Finds who calls; any number of threads may ask."""

    def __init__(self) -> None:
        """Remember nobody yet."""
        super().__init__(_REMEMBERED_S)

    def caller(self, token: str, look_up: Callable[[str], Caller]) -> Caller:
        """Return who comes with `token`, by what `look_up` finds or has just found; raise what that raises."""
        mark = look_up, hashlib.sha256(token.encode()).digest()  # a cookie is no key, nor the other way round
        known = self.get(mark)
        if known is None:
            known = look_up(token)
            self.keep(mark, known)
        return known


def register(app: Flask) -> None:
    """Guard every route of `app`."""
    app.extensions["atelier_door"] = Door()
    app.before_request(_admit)
    app.after_request(_tell_standing)


def public(view: View) -> View:
    """Declare that a view that is no part of the API needs no key."""
    view.access = Access.PUBLIC  # type: ignore[attr-defined]
    return view


def caller() -> Caller:
    """Return who makes this request; only for views that need a key."""
    found: Caller = g.caller
    return found


def door() -> Door:
    """Return the door of the app that handles this request."""
    found: Door = current_app.extensions["atelier_door"]
    return found


def access_of(view: Callable[..., Any]) -> Access:
    """Return what a view needs."""
    declared: Access = getattr(view, "access", Access.OPERATE)
    return declared


def _admit() -> None:
    if request.endpoint is None or request.endpoint == "static":  # nothing there, or a file that is everybody's
        return
    view = current_app.view_functions[request.endpoint]
    access = access_of(view)
    if access is Access.PUBLIC:
        return
    by_cookie = getattr(view, "finds_caller", None)
    g.caller = (by_cookie or _by_key)()
    structlog.contextvars.bind_contextvars(key_id=g.caller.key_id)
    if not (by_cookie and request.method == "GET"):  # a page that is open polls, and is no program of the key's
        g.standing = services().rate_limits.count(g.caller)  # what is forbidden counts too
    if g.caller.role not in access.value:
        raise Forbidden(f"A key of the role {g.caller.role} may not do that.", role=g.caller.role)


def _by_key() -> Caller:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthorized("Send an API key as `Authorization: Bearer …`; `atelier keys create` makes one.")
    return door().caller(token.strip(), _looked_up)


def _tell_standing(response: Response) -> Response:
    standing: Standing | None = g.get("standing")
    if standing is not None:
        response.headers.update(standing.headers())
    return response


def _looked_up(token: str) -> Caller:
    with services().database.reading() as session:
        key = keys.find(session, token)
    if key is None:
        raise Unauthorized("This is no API key of ours, or it was revoked.")
    return caller_of(key)


def caller_of(key: ApiKey) -> Caller:
    """Return who calls with a key."""
    return Caller(
        key_id=key.id,
        key_name=key.name,
        owner=key.owner,
        role=Role(key.role),
        max_waiting=key.max_waiting,
        max_work_per_day=key.max_work_per_day,
        max_requests_per_min=key.max_requests_per_min,
        max_retention_s=key.max_retention_s,
    )
