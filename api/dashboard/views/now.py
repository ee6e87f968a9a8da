"""The page Now: what waits, what is being painted, who works, and what an operator can do about it."""

from __future__ import annotations

from flask import current_app, redirect, render_template
from werkzeug.wrappers import Response

from api.access import Access
from api.auth import caller
from api.dashboard.overview import Overview
from api.dashboard.pages import blueprint, may, page
from api.services import services
from api.usecases import workers
from shared.db.jobs import queries
from shared.errors import NotFound
from shared.states import DesiredState

_HOME = "/dashboard"
#: What can be wished of a worker, by the last part of the address.
_WISHES = {"pause": DesiredState.PAUSE, "drain": DesiredState.DRAIN, "resume": DesiredState.WORK}


@blueprint.get(_HOME)
@page(access=Access.READ)
def now() -> Response | str:
    """Show the page; who sees its own alone, or has nothing to see yet, is sent to where there is something to do."""
    if not may(Access.OVERSEE):
        return redirect("/dashboard/jobs", 303)
    with services().database.reading() as session:
        is_empty = not queries.list_jobs(session, limit=1)
    if is_empty and may(Access.WRITE):
        return redirect("/dashboard/submit", 303)
    return render_template("now.html", look=_overview().look())


@blueprint.get("/dashboard/now")
@page(access=Access.OVERSEE)
def now_live() -> str:
    """Send the part of the page that changes: the same to all who may act, and to all who may not."""
    return _overview().written(
        "acts" if may(Access.OPERATE) else "looks", lambda look: render_template("_now.html", look=look)
    )


@blueprint.post("/dashboard/queue/<way>")
@page(access=Access.OPERATE)
def steer_queue(way: str) -> Response:
    """Pause or resume the queue."""
    if way == "pause":
        workers.pause_queue(services().database, caller())
    elif way == "resume":
        workers.resume_queue(services().database, services().dispatcher, caller())
    else:
        raise NotFound
    return _back()


@blueprint.post("/dashboard/workers/<name>/<way>")
@page(access=Access.OPERATE)
def instruct_worker(name: str, way: str) -> Response:
    """Wish something of a worker."""
    wish = _WISHES.get(way)
    if wish is None:
        raise NotFound
    workers.set_desired_state(services().database, services().dispatcher, caller(), name, wish)
    return _back()


def _back() -> Response:
    _overview().forget()
    return redirect(_HOME, 303)


def _overview() -> Overview:
    found: Overview = current_app.extensions["atelier_overview"]
    return found
