"""The pages of batches: the list, and one batch with its counts and a grid of its pictures."""

from functools import partial
from operator import attrgetter
from typing import Any

from flask import redirect, render_template, request
from werkzeug.wrappers import Response

from api.access import Access
from api.auth import caller
from api.batches import lifecycle
from api.dashboard import forms, search_query
from api.dashboard.pages import blueprint, page
from api.http import pagination
from api.http.problems import validated
from api.jobs import checks
from api.schemas.batches import BatchView, PromoteRequest
from api.schemas.retries import RetryFailedRequest
from api.serializers.batches import serialize_batch, serialize_batches
from api.serializers.jobs import serialize_job
from api.services import services
from shared.db.batches import items
from shared.db.batches import lifecycle as batches
from shared.errors import AtelierError, InvalidParams, NotFound
from shared.painting.params import PRESETS
from shared.states import BatchState, State

_PER_PAGE, _ITEMS_PER_PAGE = 30, 60
#: Default long side of a promoted cell, in pixels.
_PROMOTED_PX = 1024
#: The state that each action leads to, and the only one it may start from.
_TRANSITIONS = {
    "start": (BatchState.RUNNING, BatchState.OPEN),
    "pause": (BatchState.PAUSED, None),
    "resume": (BatchState.RUNNING, BatchState.PAUSED),
    "cancel": (BatchState.CANCELED, None),
}


@blueprint.get("/dashboard/batches")
@page(access=Access.READ)
def list_batches() -> str:
    """List batches, newest first."""
    text = request.args.get("state")
    state = search_query.parse_state(text, BatchState) if text else None
    batch_filter = batches.Filter(owner=caller().sees, state=state)
    before = pagination.decode(request.args.get("cursor"))
    with services().database.reading() as session:
        found = pagination.page(partial(batches.list_batches, session, batch_filter, before=before), _PER_PAGE)
        shown = serialize_batches(session, found.rows)
    return render_template("batches.html", batches=shown, cursor=found.next_cursor, state=state, states=BatchState)


@blueprint.get("/dashboard/batches/<batch_id>")
@page(access=Access.READ)
def batch(batch_id: str) -> str:
    """Show a batch."""
    return render_template("batch.html", **_context(batch_id))


@blueprint.get("/dashboard/batches/<batch_id>/live")
@page(access=Access.READ)
def batch_live(batch_id: str) -> str:
    """Send the part of the page that changes."""
    return render_template("_batch.html", **_context(batch_id))


@blueprint.post("/dashboard/batches/<batch_id>/<action>")
@page(access=Access.WRITE)
def change_batch(batch_id: str, action: str) -> Response:
    """Start, pause, resume or cancel a batch."""
    if action not in _TRANSITIONS:
        raise NotFound
    to, only_from = _TRANSITIONS[action]
    found = services()
    lifecycle.transition(found.database, found.dispatcher, caller(), batch_id, to, only_from=only_from)
    return _to(batch_id)


@blueprint.post("/dashboard/batches/<batch_id>/retry-failed")
@page(access=Access.WRITE)
def retry_failed_items(batch_id: str) -> Response | tuple[str, int]:
    """Retry the items that failed or expired, with another time limit if one is given; show what is wrong with it."""
    found, limit_s = services(), forms.number(request.form.get("time_limit_s", ""))
    try:
        wanted = validated(RetryFailedRequest, {} if limit_s is None else {"time_limit_s": limit_s})
        checks.check_limits(found.settings, caller(), wanted.time_limit_s, None)
    except InvalidParams as error:
        return render_template("batch.html", **_context(batch_id), retry_wrong=error.detail), forms.status_of(error)
    lifecycle.retry_failed(found.database, found.dispatcher, caller(), batch_id, wanted.model_dump(exclude_unset=True))
    return _to(batch_id)


@blueprint.post("/dashboard/batches/<batch_id>/promote")
@page(access=Access.WRITE)
def promote_cell(batch_id: str) -> Response | tuple[str, int]:
    """Paint a cell of a matrix at another size and go to the new job, or show what is wrong with the form."""
    key, size = request.form.get("key", "").strip(), request.form.get("size", "")
    body = {"key": key, "size": int(size) if size.isascii() and size.isdigit() else size}
    try:
        once, database = forms.read_once(), services().database
        if once.find(database) is None:
            promoted = lifecycle.promotion(database, caller(), batch_id, validated(PromoteRequest, body))
            with services().submitter.prepared(promoted) as prepared:
                forms.queue_job(once, prepared)
        return forms.to_created(once)
    except AtelierError as error:
        status = forms.status_of(error)
        context = _context(batch_id) | {"cell": {"key": key, "size": size}, "wrong": error.detail}
        return render_template("batch.html", **context), status


def _to(batch_id: str) -> Response:
    return redirect(f"/dashboard/batches/{batch_id}", 303)


def _context(batch_id: str) -> dict[str, Any]:
    state, cursor = request.args.get("state"), request.args.get("cursor")
    states = [search_query.parse_state(state, State)] if state else []
    after = pagination.decode(cursor)
    with services().database.reading() as session:
        shown = serialize_batch(session, batches.get_batch(session, batch_id, owner=caller().sees))
        later = partial(items.list_items, session, batch_id, states, after=after)
        found = pagination.page(later, _ITEMS_PER_PAGE, position=attrgetter("sort_id"))
    is_idle = not shown.counts.queued + shown.counts.running
    return {
        "batch": shown,
        "items": [serialize_job(item) for item in found.rows],
        "cursor": found.next_cursor,
        "state": state,
        "states": State,
        "query": {name: value for name, value in (("state", state), ("cursor", cursor)) if value},
        "ended": shown.state in (BatchState.FINISHED, BatchState.CANCELED) and is_idle,
        "overrides": _overrides(shown),
        "cell": {"key": "", "size": _PROMOTED_PX},
        "most_s": services().settings.time_limit_s,
    }


def _overrides(batch: BatchView) -> dict[str, Any]:
    """Return the parameters that differ from the preset."""
    preset = PRESETS[batch.preset][1]
    return {name: value for name, value in batch.params.items() if preset.get(name) != value}
