"""What every page has in common: how it is declared, its headers, its way to the others, and what a refusal becomes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

from flask import Blueprint, Response, current_app, g, make_response, redirect, render_template, request

from api.access import Access
from api.dashboard.session import signed_in
from api.http import problems
from api.services import services
from shared.errors import AtelierError, Forbidden, Unauthorized
from shared.painting.params import LAST_RESORT_WARNING, LAST_RESORT_WEIGHTS

View = TypeVar("View", bound=Callable[..., Any])

blueprint = Blueprint("dashboard", __name__)

#: The pages that every other leads to, what they need, and how they are called.
_PLACES = (
    ("/dashboard", Access.OVERSEE, "Now"),
    ("/dashboard/jobs", Access.READ, "Jobs"),
    ("/dashboard/batches", Access.READ, "Batches"),
    ("/dashboard/submit", Access.WRITE, "Submit"),
    ("/dashboard/failures", Access.OVERSEE, "Failures"),
    ("/dashboard/operations", Access.READ, "Bulk actions"),
    ("/dashboard/audit", Access.OVERSEE, "Audit log"),
)
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def page(*, access: Access) -> Callable[[View], View]:
    """Declare what a page or an action needs of who is signed in."""

    def declare(view: View) -> View:
        view.access = access  # type: ignore[attr-defined]
        view.finds_caller = _acting if access in (Access.WRITE, Access.OPERATE) else signed_in  # type: ignore[attr-defined]
        return view

    return declare


def _acting() -> Any:
    found = signed_in()
    if services().settings.read_only:
        raise Forbidden("This service is set to be looked at only.")
    return found


@blueprint.app_context_processor
def _context() -> dict[str, Any]:
    """Give templates who is signed in, what that may do, and where it can go."""
    places = [(path, name) for path, access, name in _PLACES if may(access)]
    here = [path for path, _ in places if request.path == path or request.path.startswith(path + "/")]
    return {
        "signed_in": g.get("caller"),
        "csrf": g.get("csrf", ""),
        "may_act": may(Access.OPERATE),
        "may_write": may(Access.WRITE),
        "places": places,
        "place": max(here, key=len, default=None),
        "asset": asset,
        "last_resort": LAST_RESORT_WEIGHTS,
        "last_resort_warning": LAST_RESORT_WARNING,
    }


def may(access: Access) -> bool:
    """Say whether who is signed in may do what needs `access`, here and now."""
    caller = g.get("caller")
    changes = access in (Access.WRITE, Access.OPERATE)
    return caller is not None and caller.role in access.value and not (changes and services().settings.read_only)


def asset(name: str) -> str:
    """Return the address of a file of ours, which is another once the file is."""
    return f"/static/dashboard/{name}?{_mark(Path(str(current_app.static_folder)) / name)}"


def keep_assets(response: Response) -> Response:
    """Let browsers keep our files, whose addresses change with them."""
    if request.endpoint == "static" and request.query_string and response.status_code == 200:
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    return response


@cache
def _mark(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:12]


@blueprint.after_request
def _guard(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["Referrer-Policy"] = "same-origin"  # without one, browsers hide where a form comes from
    response.headers.setdefault("Cache-Control", "no-store")
    return response


@blueprint.errorhandler(Unauthorized)
def _to_sign_in(_: Unauthorized) -> Response:
    """Ask to sign in, and come back to the page where that is one."""
    fragment = "HX-Request" in request.headers
    back = request.full_path.rstrip("?") if request.method == "GET" and not fragment else "/dashboard"
    address = "/login?" + urlencode({"next": back})
    if fragment:
        return Response(status=401, headers={"HX-Redirect": address})
    return make_response(redirect(address, 303))


@blueprint.errorhandler(AtelierError)
def _refused(error: AtelierError) -> Response:
    """Show a refusal or a failure as a page."""
    shown = render_template("refused.html", error=error)
    return make_response(shown, problems.status_of(type(error)).value)
