"""The page of a job: its pictures, loss curves, timeline and parameters, and the actions on it.

The part that depends on the job's state is fetched again when an event announces a new one; `job.js` draws the steps.
"""

from typing import Any, NamedTuple

from flask import redirect, render_template, request
from werkzeug.wrappers import Response

from api.access import Access
from api.auth import caller
from api.dashboard import forms
from api.dashboard.pages import blueprint, page
from api.http.problems import validated
from api.schemas.jobs import JobView
from api.schemas.outputs import StrengthRequest
from api.services import services
from api.usecases import jobs, results
from shared.db.jobs import queries
from shared.painting.params import StyleParams, resolve
from shared.states import TERMINAL, Role

#: What a job waits for.
_WAITING_FOR = {
    "turn": "Waiting for its turn",
    "paused": "Waiting: the queue or the batch is paused or on hold",
    "no_worker": "Waiting: no worker accepts jobs",
    "no_worker_with_memory": "Waiting: no worker has enough memory for it",
    "quota": "Waiting: its batch already runs as many items as it may at once",
}


@blueprint.get("/dashboard/jobs/<job_id>")
@page(access=Access.READ)
def job(job_id: str) -> str:
    """Show a job."""
    return render_template("job.html", **_context(job_id))


@blueprint.get("/dashboard/jobs/<job_id>/live")
@page(access=Access.READ)
def job_live(job_id: str) -> str:
    """Send the part of the page that depends on the job's state."""
    return render_template("_job.html", **_context(job_id), swapped=True)


@blueprint.post("/dashboard/jobs/<job_id>/cancel")
@page(access=Access.WRITE)
def cancel_job(job_id: str) -> Response:
    """Cancel a job."""
    jobs.cancel(services().database, services().progress, job_id, caller())
    return redirect(f"/dashboard/jobs/{job_id}", 303)


@blueprint.post("/dashboard/jobs/<job_id>/strength")
@page(access=Access.WRITE)
def save_strength(job_id: str) -> Response:
    """Save how strongly the painting shows."""
    wanted = validated(StrengthRequest, {"strength": forms.number(request.form.get("strength", ""))})
    results.set_strength(services().database, job_id, wanted.strength, caller())
    return redirect(f"/dashboard/jobs/{job_id}", 303)


@blueprint.post("/dashboard/jobs/<job_id>/retry")
@page(access=Access.WRITE)
def retry_job(job_id: str) -> Response:
    """Submit an ended job again and go to the new one."""
    once = forms.read_once()
    if once.find(services().database) is None:
        forms.queue_job(once, services().submitter.retry(caller(), job_id))
    return forms.to_created(once)


@blueprint.post("/dashboard/jobs/<job_id>/delete")
@page(access=Access.WRITE)
def delete_job(job_id: str) -> Response:
    """Delete an ended job."""
    jobs.delete(services().database, services().store, job_id, caller())
    return redirect("/dashboard/jobs", 303)


def _context(job_id: str) -> dict[str, Any]:
    snapshot = services().current_jobs.get(job_id, caller())
    shown = snapshot.view()
    with services().database.reading() as session:
        events = queries.list_events(session, job_id)
        has_photograph = bool(queries.get_images(session, [shown.content]))
    return {
        "job": shown,
        "ended": shown.state in TERMINAL,
        "waiting_for": shown.queue and _WAITING_FOR[shown.queue.waiting_for],
        "events": events,
        "is_operator": caller().role == Role.OPERATOR,
        "params": _params(shown),
        "version": _version(shown),
        "has_photograph": has_photograph,
        "has_film": "film_key" in (snapshot.job.result or {}) and snapshot.job.files_gone_at is None,
    }


def _version(job: JobView) -> str:
    """Name the current version of the picture, for URLs that a browser may cache."""
    step = job.progress.step if job.progress else 0
    strength = f"-{job.result.strength}" if job.result else ""
    return f"{job.attempt}-{step}-{job.state}{strength}"


class Param(NamedTuple):
    """A parameter of a job, with the preset's value."""

    name: str
    value: Any
    preset: Any
    unit: str

    @property
    def is_override(self) -> bool:
        """Whether the job's value differs from the preset's."""
        return bool(self.value != self.preset)


def _params(job: JobView) -> list[Param]:
    """List all parameters, overrides first."""
    preset = resolve(job.preset).model_dump(mode="json")
    found = []
    for name, field in StyleParams.model_fields.items():
        extra = field.json_schema_extra
        unit = str(extra.get("x-unit", "")) if isinstance(extra, dict) else ""
        found.append(Param(name, job.params.get(name), preset[name], unit))
    return sorted(found, key=lambda param: not param.is_override)
