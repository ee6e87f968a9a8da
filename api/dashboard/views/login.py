"""The page Sign in, and signing out."""

from flask import Response, make_response, redirect, render_template, request

from api.access import Access
from api.auth import caller_cache, public
from api.dashboard import session as browser
from api.dashboard.pages import blueprint, page
from api.services import services
from shared.db.access import browser_sessions, keys

_HOME = "/dashboard"
#: Largest form to sign in with, in bytes: anybody may send one.
_FORM_BYTES = 2**16


@blueprint.get("/login")
@public
def login() -> str:
    """Show the form."""
    return render_template("login.html", next=_local(request.args.get("next", "")))


@blueprint.post("/login")
@public
def sign_in() -> Response:
    """Start a session, or show the form again for a key that is invalid."""
    browser.require_own_origin()
    services().rate_limits.count_sign_in(request.remote_addr or "")
    request.max_content_length = _FORM_BYTES
    back = _local(request.form.get("next", ""))
    with services().database.writing() as session:
        key = keys.find(session, request.form.get("key", "").strip())
        token = browser_sessions.create(session, key.id) if key else None
    if token is None:
        wrong = "That key is invalid or revoked."
        return make_response(render_template("login.html", next=back, wrong=wrong), 401)
    response = make_response(redirect(back, 303))
    browser.remember(response, token)
    return response


@blueprint.post("/logout")
@page(access=Access.READ)
def logout() -> Response:
    """End the session."""
    with services().database.writing() as session:
        browser_sessions.end(session, browser.session_token())
    caller_cache().clear()
    response = make_response(redirect("/login", 303))
    browser.forget(response)
    return response


def _local(path: str) -> str:
    """Return a path of the dashboard; anything that could lead to another site becomes the home page."""
    inside = path.partition("?")[0] == _HOME or path.startswith(_HOME + "/")
    return path if inside and path.isprintable() and "\\" not in path else _HOME
