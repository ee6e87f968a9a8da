"""The page Now: the queue, the running jobs and the workers, with an operator's actions on queue and workers."""

from flask import current_app, redirect, render_template
from werkzeug.wrappers import Response

from api.access import Access
from api.auth import caller
from api.dashboard.overview import OVERVIEW_EXTENSION, OverviewCache
from api.dashboard.pages import blueprint, may, page
from api.services import services
from api.usecases import workers
from shared.db.jobs import queries
from shared.errors import NotFound
from shared.states import DesiredState

_HOME = "/dashboard"
#: The state that each action asks of a worker.
_DESIRED_STATES = {"pause": DesiredState.PAUSE, "drain": DesiredState.DRAIN, "resume": DesiredState.WORK}


@blueprint.get(_HOME)
@page(access=Access.READ)
def now() -> Response | str:
    """Show the overview; redirect a client to its jobs, and the first visitor of all to the submission form."""
    if not may(Access.OVERSEE):
        return redirect("/dashboard/jobs", 303)
    with services().database.reading() as session:
        is_empty = not queries.list_jobs(session, limit=1)
    if is_empty and may(Access.WRITE):
        return redirect("/dashboard/submit", 303)
    return render_template("now.html", overview=_overviews().get())


@blueprint.get("/dashboard/now")
@page(access=Access.OVERSEE)
def now_live() -> str:
    """Send the part of the page that changes, rendered once for operators and once for viewers."""
    variant = "operator" if may(Access.OPERATE) else "viewer"
    return _overviews().rendered(variant, lambda overview: render_template("_now.html", overview=overview))


@blueprint.post("/dashboard/queue/<action>")
@page(access=Access.OPERATE)
def change_queue(action: str) -> Response:
    """Pause or resume the queue."""
    if action == "pause":
        workers.pause_queue(services().database, caller())
    elif action == "resume":
        workers.resume_queue(services().database, services().dispatcher, caller())
    else:
        raise NotFound
    return _back()


@blueprint.post("/dashboard/workers/<name>/<action>")
@page(access=Access.OPERATE)
def change_worker(name: str, action: str) -> Response:
    """Pause, drain or resume a worker."""
    desired = _DESIRED_STATES.get(action)
    if desired is None:
        raise NotFound
    workers.set_desired_state(services().database, services().dispatcher, caller(), name, desired)
    return _back()


def _back() -> Response:
    _overviews().invalidate()
    return redirect(_HOME, 303)


def _overviews() -> OverviewCache:
    found: OverviewCache = current_app.extensions[OVERVIEW_EXTENSION]
    return found
