"""The pages of batches: a list, and one batch with its counts and a grid of its pictures that fills as it runs."""

from __future__ import annotations

from typing import Any

from flask import redirect, render_template, request
from werkzeug.wrappers import Response

from api.access import Access
from api.auth import caller
from api.batches import lifecycle
from api.dashboard.forms import make_once
from api.dashboard.pages import blueprint, page
from api.http import pagination, problems
from api.http.problems import validated
from api.jobs import submit
from api.schemas.batches import BatchView, PromoteRequest
from api.serializers.batches import serialize_batch, serialize_batches
from api.serializers.jobs import serialize_job
from api.services import services
from shared.db.batches import items
from shared.db.batches import lifecycle as batches
from shared.errors import AtelierError, InvalidParams, NotFound
from shared.painting.params import PRESETS
from shared.states import BatchState, State

#: Batches on a page, and pictures.
_ON_A_PAGE, _IN_A_GRID = 30, 60
#: What a chosen cell is painted at unless another long side is asked for, in pixels.
_LARGE_PX = 1024
#: Below that an error is of what was asked for.
_FAULT = 500
#: What a batch can be brought to, by the last part of the address, and what alone it may be before.
_WAYS = {
    "start": (BatchState.RUNNING, BatchState.OPEN),
    "pause": (BatchState.PAUSED, None),
    "resume": (BatchState.RUNNING, BatchState.PAUSED),
    "cancel": (BatchState.CANCELED, None),
}


@blueprint.get("/dashboard/batches")
@page(access=Access.READ)
def list_batches() -> str:
    """List batches, newest first."""
    state = request.args.get("state") or None
    if state is not None and state not in list(BatchState):
        raise InvalidParams(f"{state!r} is no state; the states are {', '.join(BatchState)}.")
    wanted = batches.Filter(caller().sees, BatchState(state) if state else None, None)
    before = pagination.decode(request.args.get("cursor"))
    with services().database.reading() as session:
        found = batches.list_batches(session, wanted, before=before, limit=_ON_A_PAGE + 1)
        views = serialize_batches(session, found[:_ON_A_PAGE])
    cursor = pagination.encode(views[-1].id) if len(found) > _ON_A_PAGE else None
    return render_template("batches.html", batches=views, cursor=cursor, state=state, states=BatchState)


@blueprint.get("/dashboard/batches/<batch_id>")
@page(access=Access.READ)
def batch(batch_id: str) -> str:
    """Show a batch."""
    return render_template("batch.html", **_shown(batch_id))


@blueprint.get("/dashboard/batches/<batch_id>/live")
@page(access=Access.READ)
def batch_live(batch_id: str) -> str:
    """Send the part of the page that changes."""
    return render_template("_batch.html", **_shown(batch_id))


@blueprint.post("/dashboard/batches/<batch_id>/<way>")
@page(access=Access.WRITE)
def steer_batch(batch_id: str, way: str) -> Response:
    """Start, pause, resume or cancel a batch."""
    if way not in _WAYS:
        raise NotFound
    to, only_from = _WAYS[way]
    found = services()
    lifecycle.transition(found.database, found.dispatcher, caller(), batch_id, to, only_from=only_from)
    return _to(batch_id)


@blueprint.post("/dashboard/batches/<batch_id>/retry-failed")
@page(access=Access.WRITE)
def retry_failed_items(batch_id: str) -> Response:
    """Try again what failed."""
    lifecycle.retry_failed(services().database, services().dispatcher, caller(), batch_id)
    return _to(batch_id)


@blueprint.post("/dashboard/batches/<batch_id>/promote")
@page(access=Access.WRITE)
def promote_cell(batch_id: str) -> Response | tuple[str, int]:
    """Have a chosen picture of a matrix painted large and go to that job, or say what is wrong with the choice."""
    key, size = request.form.get("key", "").strip(), request.form.get("size", "")
    asked = {"key": key, "size": int(size) if size.isascii() and size.isdigit() else size}
    try:
        promoted = lifecycle.promotion(services().database, caller(), batch_id, validated(PromoteRequest, asked))
        return make_once(lambda note: submit.submit(services(), promoted, note=note), "/dashboard/jobs")
    except AtelierError as error:
        status = problems.status_of(type(error)).value
        if status >= _FAULT:
            raise
        shown = _shown(batch_id) | {"cell": {"key": key, "size": size}, "wrong": error.detail}
        return render_template("batch.html", **shown), status


def _to(batch_id: str) -> Response:
    return redirect(f"/dashboard/batches/{batch_id}", 303)


def _shown(batch_id: str) -> dict[str, Any]:
    state, text = request.args.get("state") or None, request.args.get("cursor")
    if state is not None and state not in list(State):
        raise InvalidParams(f"{state!r} is no state; the states are {', '.join(State)}.")
    after = pagination.decode(text)
    with services().database.reading() as session:
        view = serialize_batch(session, batches.get_batch(session, batch_id, owner=caller().sees))
        states = [State(state)] if state else []
        found = items.list_items(session, batch_id, states, after=after, limit=_IN_A_GRID + 1)
    shown = found[:_IN_A_GRID]
    return {
        "batch": view,
        "items": [serialize_job(item) for item in shown],
        "cursor": pagination.encode(shown[-1].sort_id) if len(found) > _IN_A_GRID else None,
        "state": state,
        "states": State,
        "asked": {name: value for name, value in (("state", state), ("cursor", text)) if value},
        "over": _is_over(view),
        "departures": _departures(view),
        "cell": {"key": "", "size": _LARGE_PX},
    }


def _is_over(view: BatchView) -> bool:
    """Say whether nothing will change any more by itself."""
    return view.state in (BatchState.FINISHED, BatchState.CANCELED) and not view.counts.queued + view.counts.running


def _departures(view: BatchView) -> dict[str, Any]:
    """Return the params that are not the preset's."""
    preset = PRESETS[view.preset][1]
    return {name: value for name, value in view.params.items() if preset.get(name) != value}
