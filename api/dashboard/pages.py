"""What all pages share: the blueprint, access control, the navigation, security headers and error pages."""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

from flask import Blueprint, Response, current_app, g, make_response, redirect, render_template, request
from markupsafe import Markup

from api.access import Access
from api.dashboard.session import signed_in
from api.http import problems
from api.services import services
from shared.errors import AtelierError, Forbidden, Unauthorized
from shared.painting.params import LAST_RESORT_WARNING, LAST_RESORT_WEIGHTS
from shared.texts import printable_lines

View = TypeVar("View", bound=Callable[..., Any])

blueprint = Blueprint("dashboard", __name__)

#: The navigation: path, access needed, name.
_NAVIGATION = (
    ("/dashboard", Access.OVERSEE, "Now"),
    ("/dashboard/jobs", Access.READ, "Jobs"),
    ("/dashboard/batches", Access.READ, "Batches"),
    ("/dashboard/submit", Access.WRITE, "Submit"),
    ("/dashboard/failures", Access.OVERSEE, "Failures"),
    ("/dashboard/operations", Access.READ, "Bulk actions"),
    ("/dashboard/audit", Access.OVERSEE, "Audit log"),
)
_CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def page(*, access: Access) -> Callable[[View], View]:
    """Declare the access that a page or an action needs."""

    def declare(view: View) -> View:
        view.access = access  # type: ignore[attr-defined]
        view.finds_caller = _signed_in_to_change if _changes(access) else signed_in  # type: ignore[attr-defined]
        return view

    return declare


def _changes(access: Access) -> bool:
    return access in (Access.WRITE, Access.OPERATE)


def _signed_in_to_change() -> Any:
    found = signed_in()
    if services().settings.read_only:
        raise Forbidden("This service is read-only.")
    return found


@blueprint.app_context_processor
def _context() -> dict[str, Any]:
    """Give every template the caller, its rights and the navigation."""
    navigation = [(path, name) for path, access, name in _NAVIGATION if may(access)]
    here = [path for path, _ in navigation if request.path == path or request.path.startswith(path + "/")]
    return {
        "root": request.script_root,
        "signed_in": g.get("caller"),
        "csrf": g.get("csrf", ""),
        "may_act": may(Access.OPERATE),
        "may_write": may(Access.WRITE),
        "navigation": navigation,
        "current": max(here, key=len, default=None),
        "asset": asset,
        "last_resort": LAST_RESORT_WEIGHTS,
        "last_resort_warning": LAST_RESORT_WARNING,
    }


def may(access: Access) -> bool:
    """Return whether the signed-in caller has `access`; on a read-only service nobody may change anything."""
    caller = g.get("caller")
    is_blocked = _changes(access) and services().settings.read_only
    return caller is not None and caller.role in access.value and not is_blocked


def shown(value: Any) -> Any:
    """Return what a template shows of a value: of a text, what moves and reverses nothing; Jinja escapes HTML."""
    return printable_lines(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def asset(name: str) -> str:
    """Return the URL of a static file; it changes with the file's content."""
    return f"{request.script_root}/static/dashboard/{name}?{_digest(Path(str(current_app.static_folder)) / name)}"


def cache_assets(response: Response) -> Response:
    """Let browsers cache the URLs of `asset` forever."""
    if request.endpoint == "static" and request.query_string and response.status_code == 200:
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    return response


@cache
def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:12]


@blueprint.after_request
def _secure(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = _CONTENT_POLICY
    response.headers["Referrer-Policy"] = "same-origin"  # otherwise browsers may hide the origin of a form
    response.headers.setdefault("Cache-Control", "no-store")
    return response


@blueprint.errorhandler(Unauthorized)
def _to_sign_in(_: Unauthorized) -> Response:
    """Redirect to the sign-in page, which leads back to a page but not to a fragment or an action."""
    is_fragment = "HX-Request" in request.headers
    back = request.full_path.rstrip("?") if request.method == "GET" and not is_fragment else "/dashboard"
    url = "/login?" + urlencode({"next": back})
    if is_fragment:
        return Response(status=401, headers={"HX-Redirect": url})
    return make_response(redirect(url, 303))


@blueprint.errorhandler(AtelierError)
def _error_page(error: AtelierError) -> Response:
    response = make_response(render_template("error.html", error=error), problems.status_of(type(error)).value)
    if error.retryable:
        response.headers["Retry-After"] = problems.retry_after(error)
    return response
