"""The page Submit: the form of a new job, its estimate, and the redirect to the job's page."""

from collections.abc import Mapping
from typing import Any

from flask import render_template, request
from werkzeug.wrappers import Response

from api.access import Access
from api.auth import caller
from api.dashboard import forms, submit_form
from api.dashboard.pages import blueprint, page
from api.http import bodies
from api.jobs import checks
from api.serializers.jobs import photograph_name
from api.services import services
from shared import clock
from shared.db.jobs import queries
from shared.db.models import Job
from shared.errors import AtelierError
from shared.imaging.filenames import PICTURES
from shared.imaging.formats.recognition import MEDIA_TYPES
from shared.painting.costs import Estimate
from shared.painting.params import DEFAULT_PRESET, PRESETS, resolve
from shared.priorities import MAX_PRIORITY, MIN_PRIORITY, OWN_PRIORITY

_HOME = "/dashboard/submit"
#: What a browser offers to choose; by endings too, since few know the media types of phones' pictures.
_ACCEPTED = ",".join([*MEDIA_TYPES.values(), *sorted(PICTURES)])
#: What to say of a missing picture.
_MISSING = {"content": "Choose a photograph to paint.", "style": "Choose a painting whose style to use."}


@blueprint.get(_HOME)
@page(access=Access.WRITE)
def submit_page() -> str:
    """Show the form, empty or filled in from an earlier job."""
    earlier = _earlier_job(request.args.get("again"))
    values: dict[str, str] = {}
    if earlier is not None:
        preset = resolve(earlier.preset).model_dump(mode="json")
        overrides = {name: value for name, value in earlier.params.items() if preset.get(name) != value}
        priority = min(earlier.priority, _priorities()[1])
        named = {"preset": earlier.preset, "label": earlier.label or "", "priority": str(priority)}
        values = {**named, **_typed_settings(earlier), **submit_form.values(overrides)}
    return _page(values, earlier)


@blueprint.post(_HOME)
@page(access=Access.WRITE)
def submit_job() -> Response | tuple[str, int]:
    """Submit a job and go to its page, or show what is wrong with the form."""
    earlier = _earlier_job(request.form.get("again"))
    try:
        once, submitter = forms.read_once(), services().submitter
        if once.find(services().database) is None:
            with submitter.prepared(submitter.read(caller(), _request(earlier))) as prepared:
                forms.queue_job(once, prepared)
        return forms.to_created(once)
    except AtelierError as error:
        return _page(request.form, earlier, error), forms.status_of(error)


@blueprint.post(f"{_HOME}/estimate")
@page(access=Access.WRITE)
def estimate_job() -> str:
    """Show the estimate of a job, storing nothing."""
    earlier = _earlier_job(request.form.get("again"))
    estimate, wrong = None, None
    try:
        submitter = services().submitter
        estimate = submitter.validate(submitter.read(caller(), _request(earlier))).estimate
    except AtelierError as error:
        forms.status_of(error)
        wrong = error
    if "HX-Request" in request.headers:
        return render_template(
            "_estimate.html", is_estimate=True, estimate=estimate, messages=submit_form.messages(wrong)
        )
    return _page(request.form, earlier, wrong, estimate=estimate, is_estimate=True)


def _request(earlier: Job | None) -> bodies.JobForm:
    """Turn the form into a request; pictures that are not chosen are the earlier job's. Raises `InvalidParams`."""
    files = {name: [file.read() for file in request.files.getlist(name) if file.filename] for name in _MISSING}
    if earlier is None:
        bodies.refuse({name: text for name, text in _MISSING.items() if not files[name]})
        kept: dict[str, Any] = {}
    else:
        kept = {"content": earlier.content_id, "styles": earlier.styles, "weights": earlier.weights_wanted}
        kept["init_image"] = earlier.init_id if not files["style"] else None
        kept |= _kept_settings(earlier)
    body = {
        "preset": request.form.get("preset", DEFAULT_PRESET),
        "params": submit_form.params(request.form),
        "priority": forms.number(request.form.get("priority", "")) or 0,
        "label": request.form.get("label", "").strip() or None,
        **submit_form.settings({**(_typed_settings(earlier) if earlier else {}), **request.form}),
    }
    named = bodies.form_of_files(files)
    chosen = next((file.filename for file in request.files.getlist("content") if file.filename), None)
    return bodies.JobForm(
        body | kept | named.body, named.files, chosen or (photograph_name(earlier) if earlier else None)
    )


def _typed_settings(earlier: Job) -> dict[str, str]:
    """Return the fields of the form that say how an earlier job ran, as far as that is allowed now."""
    limit_s, most_s = earlier.time_limit_s, services().settings.time_limit_s
    return {
        "depth": str(earlier.depth),
        "keep_metadata": "true" if earlier.keep_metadata else "false",
        "time_limit_s": "" if limit_s is None else f"{min(limit_s, most_s):g}",
    }


def _kept_settings(earlier: Job) -> dict[str, Any]:
    """Return what the form does not show, as far as it is allowed now; the webhook of somebody else's job is not."""
    settings = services().settings
    return {
        "metadata": earlier.annotations,
        "reuse": earlier.reuse,
        "start_by": clock.rfc3339(earlier.start_by) if earlier.start_by and earlier.start_by > clock.now() else None,
        "webhook": earlier.webhook if earlier.owner == caller().owner else None,
        "retention_s": min(earlier.retention_s, checks.max_retention_s(settings, caller())),
    }


def _priorities() -> tuple[int, int]:
    """Return the lowest and the highest priority that the caller may give."""
    return MIN_PRIORITY, MAX_PRIORITY if caller().is_operator else OWN_PRIORITY


def _earlier_job(job_id: str | None) -> Job | None:
    """Return the job to retry with changes, if one is given; raise `NotFound`."""
    if not job_id:
        return None
    with services().database.reading() as session:
        return queries.get_job(session, job_id, owner=caller().sees)


def _page(
    values: Mapping[str, str],
    earlier: Job | None,
    error: AtelierError | None = None,
    *,
    estimate: Estimate | None = None,
    is_estimate: bool = False,
) -> str:
    with services().database.reading() as session:
        is_first = not queries.list_jobs(session, queries.Filter(owner=caller().sees), limit=1)
    return render_template(
        "submit.html",
        accepted=_ACCEPTED,
        groups=submit_form.fields(),
        prefix=submit_form.PREFIX,
        most_s=services().settings.time_limit_s,
        priorities=_priorities(),
        presets={name: text for name, (text, _) in PRESETS.items()},
        chosen=values.get("preset", DEFAULT_PRESET),
        values=values,
        earlier=earlier,
        is_first=is_first,
        opened=earlier is not None or any(values.get(name) for name in submit_form.NAMES),
        errors=submit_form.errors_by_field(error),
        messages=submit_form.messages(error),
        estimate=estimate,
        is_estimate=is_estimate,
    )
