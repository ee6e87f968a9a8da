"""Bulk actions: what a search finds is counted first, a reason is asked, then the server does it at its own pace."""

from __future__ import annotations

from typing import Any

from flask import redirect, render_template, request
from werkzeug.wrappers import Response

from api.access import Access
from api.auth import caller
from api.dashboard import search_query
from api.dashboard.forms import make_once
from api.dashboard.pages import blueprint, may, page
from api.http import pagination
from api.http.problems import validated
from api.schemas.bulk_actions import OperationRequest
from api.serializers.bulk_actions import serialize_operation
from api.services import services
from api.usecases import bulk_actions
from shared.clock import rfc3339
from shared.db.admin import bulk_actions as operations
from shared.db.admin.bulk_steps import Action
from shared.db.jobs.queries import Filter
from shared.errors import InvalidParams

_ON_A_PAGE = 30
_HOME = "/dashboard/operations"


@blueprint.get(_HOME)
@page(access=Access.READ)
def list_operations() -> str:
    """List bulk actions, newest first; count what one would be about."""
    return _page(request.args.get("q", "").strip(), request.args.get("action", ""))


@blueprint.post(_HOME)
@page(access=Access.WRITE)
def start_operation() -> Response | tuple[str, int]:
    """Begin a bulk action, and go to where it is watched."""
    text, action = request.form.get("q", "").strip(), request.form.get("action", "")
    try:
        asked = _asked(text, action, reason=request.form.get("reason", ""))
    except InvalidParams as error:
        return _page(text, action, wrong=error.detail), 422
    who = caller()
    return make_once(lambda note: bulk_actions.start(services(), who, asked, note=note), _HOME)


@blueprint.get(f"{_HOME}/<operation_id>")
@page(access=Access.READ)
def operation(operation_id: str) -> str:
    """Show a bulk action."""
    return render_template("operation.html", **_shown(operation_id))


@blueprint.get(f"{_HOME}/<operation_id>/live")
@page(access=Access.READ)
def operation_live(operation_id: str) -> str:
    """Send the part of the page that changes."""
    return render_template("_operation.html", **_shown(operation_id))


@blueprint.post(f"{_HOME}/<operation_id>/stop")
@page(access=Access.WRITE)
def stop_operation(operation_id: str) -> Response:
    """Stop a bulk action."""
    bulk_actions.stop(services(), caller(), operation_id)
    return redirect(f"{_HOME}/{operation_id}", 303)


def _page(text: str, action: str, wrong: str = "") -> str:
    matched = None
    if text and action and may(Access.WRITE):
        try:
            matched = bulk_actions.count(services(), caller(), _asked(text, action))
        except InvalidParams as error:
            wrong = wrong or error.detail
    elif request.args.get("count"):
        wrong = wrong or "Say which jobs: a search that is empty would mean all there are."
    before = pagination.decode(request.args.get("cursor"))
    with services().database.reading() as session:
        found = operations.list_operations(session, owner=caller().sees, before=before, limit=_ON_A_PAGE + 1)
    page_of_them = [serialize_operation(each) for each in found[:_ON_A_PAGE]]
    return render_template(
        "operations.html",
        q=text,
        action=action,
        actions=Action,
        matched=matched,
        more=matched is not None and matched >= operations.MOST_COUNTED,
        wrong=wrong,
        reason=request.form.get("reason", ""),
        operations=page_of_them,
        searched={
            each.id: search_query.text_of(operations.filter_from_json(row))
            for each, row in zip(page_of_them, found, strict=False)
        },
        cursor=pagination.encode(page_of_them[-1].id) if len(found) > _ON_A_PAGE else None,
    )


def _asked(text: str, action: str, *, reason: str | None = None) -> OperationRequest:
    """Read what is asked for, to be counted if no reason is given yet; raise `InvalidParams`."""
    search = search_query.parse(text)
    if search.job_id is not None:
        raise InvalidParams("That is the id of one job; its own page has the buttons for it.")
    wished = {"action": action, "filter": _fields(search.filter)}
    return validated(OperationRequest, wished | ({"dry_run": True} if reason is None else {"reason": reason}))


def _fields(wanted: Filter) -> dict[str, Any]:
    """Write a filter as the API takes it."""
    fields = {
        "state": list(wanted.states) or None,
        "code": wanted.code,
        "owner": wanted.owner,
        "label": wanted.label,
        "batch": wanted.batch_id,
        "created_after": rfc3339(wanted.created_after),
        "created_before": rfc3339(wanted.created_before),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _shown(operation_id: str) -> dict[str, Any]:
    with services().database.reading() as session:
        found = operations.get_operation(session, operation_id, owner=caller().sees)
    return {"operation": serialize_operation(found), "q": search_query.text_of(operations.filter_from_json(found))}
