"""The page of one job: its pictures, curves, timeline and params, and what can be done with it.

The part that changes with the job's state is fetched again when its events say so; steps are drawn by `job.js`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from flask import redirect, render_template
from werkzeug.wrappers import Response

from api.access import Access
from api.auth import caller
from api.dashboard import forms
from api.dashboard.pages import blueprint, page
from api.schemas.jobs import JobView
from api.services import services
from api.usecases import jobs
from shared.db.jobs import queries
from shared.painting.params import StyleParams, resolve
from shared.states import TERMINAL, Role

#: Why a job waits, in words.
_WAITS = {
    "turn": "It waits for its turn.",
    "paused": "It waits because the queue, or its batch, is paused or holds by itself.",
    "no_worker": "It waits because no worker is there that takes jobs.",
    "no_worker_with_memory": "It waits because no worker that is there has the memory for it.",
    "quota": "It waits because as many of its batch run already as may at once.",
}


@blueprint.get("/dashboard/jobs/<job_id>")
@page(access=Access.READ)
def job(job_id: str) -> str:
    """Show a job."""
    return render_template("job.html", **_shown(job_id))


@blueprint.get("/dashboard/jobs/<job_id>/live")
@page(access=Access.READ)
def job_live(job_id: str) -> str:
    """Send the part of the page that changes with the job's state."""
    return render_template("_job.html", **_shown(job_id), swapped=True)


@blueprint.post("/dashboard/jobs/<job_id>/cancel")
@page(access=Access.WRITE)
def cancel_job(job_id: str) -> Response:
    """Cancel a job."""
    jobs.cancel(services().database, services().progress, job_id, caller())
    return redirect(f"/dashboard/jobs/{job_id}", 303)


@blueprint.post("/dashboard/jobs/<job_id>/retry")
@page(access=Access.WRITE)
def retry_job(job_id: str) -> Response:
    """Submit a job that has ended again, and go to the new one."""
    once = forms.read_once()
    if once.find(services().database) is None:
        forms.queue_job(once, services().submitter.retry(caller(), job_id))
    return forms.to_created(once)


@blueprint.post("/dashboard/jobs/<job_id>/delete")
@page(access=Access.WRITE)
def delete_job(job_id: str) -> Response:
    """Forget a job that has ended."""
    jobs.delete(services().database, services().store, job_id, caller())
    return redirect("/dashboard/jobs", 303)


def _shown(job_id: str) -> dict[str, Any]:
    snapshot = services().current_jobs.get(job_id, caller())
    view = snapshot.view()
    with services().database.reading() as session:
        events = queries.list_events(session, job_id)
    return {
        "job": view,
        "ended": view.state in TERMINAL,
        "waits": view.queue and _WAITS[view.queue.waiting_for],
        "events": events,
        "is_operator": caller().role == Role.OPERATOR,
        "params": _params(view),
        "picture": _version(view),
        "has_film": "film_key" in (snapshot.job.result or {}) and snapshot.job.files_gone_at is None,
    }


def _version(view: JobView) -> str:
    """Name the picture that there is now, so that a browser fetches another only when it is another."""
    step = view.progress.step if view.progress else 0
    return f"{view.attempt}-{step}-{view.state}"


class Param(NamedTuple):
    """A parameter of a job, and what its preset has."""

    name: str
    value: Any
    preset: Any
    unit: str

    @property
    def departs(self) -> bool:
        """Whether the job has another value than its preset."""
        return bool(self.value != self.preset)


def _params(view: JobView) -> list[Param]:
    """List each parameter, those first that depart from the preset."""
    preset = resolve(view.preset).model_dump(mode="json")
    found = []
    for name, field in StyleParams.model_fields.items():
        extra = field.json_schema_extra
        unit = str(extra.get("unit", "")) if isinstance(extra, dict) else ""
        found.append(Param(name, view.params.get(name), preset[name], unit))
    return sorted(found, key=lambda param: not param.departs)
