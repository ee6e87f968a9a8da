"""The page Submit: a photograph, a painting, a preset, what it would take, and off it goes to the job's page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import render_template, request
from werkzeug.wrappers import Response

from api.access import Access
from api.auth import caller
from api.dashboard import forms, submit_form
from api.dashboard.pages import blueprint, page
from api.http import bodies, problems
from api.services import services
from shared.db.jobs import queries
from shared.db.models import Job
from shared.errors import AtelierError
from shared.painting.costs import Estimate
from shared.painting.params import DEFAULT_PRESET, PRESETS, resolve

_HOME = "/dashboard/submit"
#: Below that an error is of what was asked for.
_FAULT = 500
#: What is said of a picture that is not there.
_MISSING = {
    "content": "Choose the photograph that is to be painted.",
    "style": "Choose the painting whose style it gets.",
}


@blueprint.get(_HOME)
@page(access=Access.WRITE)
def submit_page() -> str:
    """Show the form, empty or as an earlier job was."""
    former = _former(request.args.get("again"))
    values: dict[str, str] = {}
    if former is not None:
        preset = resolve(former.preset).model_dump(mode="json")
        departures = {name: value for name, value in former.params.items() if preset.get(name) != value}
        values = {"preset": former.preset, "label": former.label or "", **submit_form.filled(departures)}
    return _page(values, former)


@blueprint.post(_HOME)
@page(access=Access.WRITE)
def submit_job() -> Response | tuple[str, int]:
    """Queue a job and go to its page, or say what is wrong with it."""
    former = _former(request.form.get("again"))
    try:
        once, submitter = forms.read_once(), services().submitter
        if once.find(services().database) is None:
            forms.queue_job(once, submitter.prepare(submitter.read(caller(), _asked(former))))
        return forms.to_created(once)
    except AtelierError as error:
        status = problems.status_of(type(error)).value
        if status >= _FAULT:
            raise
        return _page(request.form, former, error), status


@blueprint.post(f"{_HOME}/estimate")
@page(access=Access.WRITE)
def estimate_job() -> str:
    """Say what the job would take; nothing of it is kept."""
    former = _former(request.form.get("again"))
    estimate, wrong = None, None
    try:
        submitter = services().submitter
        estimate = submitter.validate(submitter.read(caller(), _asked(former))).estimate
    except AtelierError as error:
        if problems.status_of(type(error)).value >= _FAULT:
            raise
        wrong = error
    if "HX-Request" in request.headers:
        return render_template("_estimate.html", asked=True, estimate=estimate, told=submit_form.told(wrong))
    return _page(request.form, former, wrong, estimate=estimate, asked=True)


def _asked(former: Job | None) -> bodies.JobForm:
    """Read the form; raise `InvalidParams` for pictures that are missing."""
    files = {name: [file.read() for file in request.files.getlist(name) if file.filename] for name in _MISSING}
    if former is None:
        bodies.refuse({name: text for name, text in _MISSING.items() if not files[name]})
        kept: dict[str, Any] = {}
    else:
        kept = {"content": former.content_id, "styles": former.styles, "weights": former.weights_wanted}
        kept["init_image"] = former.init_id if not files["style"] else None
    body = {
        "preset": request.form.get("preset", DEFAULT_PRESET),
        "params": submit_form.params(request.form),
        "priority": request.form.get("priority", "").strip() or 0,
        "label": request.form.get("label", "").strip() or None,
    }
    named = bodies.form_of_files(files)
    return bodies.JobForm(body | kept | named.body, named.files)


def _former(job_id: str | None) -> Job | None:
    """Return the job that is to be tried again with changes, if one is; raise `NotFound`."""
    if not job_id:
        return None
    with services().database.reading() as session:
        return queries.get_job(session, job_id, owner=caller().sees)


def _page(
    values: Mapping[str, str],
    former: Job | None,
    error: AtelierError | None = None,
    *,
    estimate: Estimate | None = None,
    asked: bool = False,
) -> str:
    with services().database.reading() as session:
        first = not queries.list_jobs(session, queries.Filter(owner=caller().sees), limit=1)
    return render_template(
        "submit.html",
        groups=submit_form.fields(),
        prefix=submit_form.PREFIX,
        presets={name: text for name, (text, _) in PRESETS.items()},
        chosen=values.get("preset", DEFAULT_PRESET),
        values=values,
        former=former,
        first=first,
        opened=former is not None or any(values.get(name) for name in submit_form.NAMES),
        mistakes=submit_form.mistakes(error),
        told=submit_form.told(error),
        estimate=estimate,
        asked=asked,
    )
