"""The pages of bulk actions: count the jobs that match a search, give a reason, start, and watch the progress."""

from functools import partial
from typing import Any

from flask import redirect, render_template, request
from werkzeug.wrappers import Response

from api.access import Access
from api.auth import caller
from api.dashboard import forms, search_query
from api.dashboard.pages import blueprint, may, page
from api.http import pagination
from api.http.problems import validated
from api.jobs import checks
from api.schemas.bulk_actions import OperationRequest
from api.serializers.bulk_actions import serialize_filter, serialize_operation
from api.services import services
from api.usecases import bulk_actions
from shared.db.admin import bulk_actions as operations
from shared.db.admin.bulk_steps import Action
from shared.errors import InvalidParams

_PER_PAGE = 30
_HOME = "/dashboard/operations"


@blueprint.get(_HOME)
@page(access=Access.READ)
def list_operations() -> str:
    """List bulk actions, newest first, and count the jobs that a new one would process."""
    return _page(request.args.get("q", "").strip(), request.args.get("action", ""))


@blueprint.post(_HOME)
@page(access=Access.WRITE)
def start_operation() -> Response | tuple[str, int]:
    """Start a bulk action and go to its page."""
    text, action = request.form.get("q", "").strip(), request.form.get("action", "")
    try:
        operation_request = _request(text, action, reason=request.form.get("reason", ""))
        checks.check_limits(services().settings, caller(), operation_request.time_limit_s, None)
    except InvalidParams as error:
        return _page(text, action, wrong=error.detail), 422
    once, database = forms.read_once(), services().database
    if once.find(database) is None:
        matched = bulk_actions.count(database, caller(), operation_request)
        with once.writing(database, "start_operation") as session:
            started = bulk_actions.start(session, caller(), operation_request, matched)
            once.response = forms.created(f"{_HOME}/{started.id}")
    return forms.to_created(once)


@blueprint.get(f"{_HOME}/<operation_id>")
@page(access=Access.READ)
def operation(operation_id: str) -> str:
    """Show a bulk action."""
    return render_template("operation.html", **_context(operation_id))


@blueprint.get(f"{_HOME}/<operation_id>/live")
@page(access=Access.READ)
def operation_live(operation_id: str) -> str:
    """Send the part of the page that changes."""
    return render_template("_operation.html", **_context(operation_id))


@blueprint.post(f"{_HOME}/<operation_id>/stop")
@page(access=Access.WRITE)
def stop_operation(operation_id: str) -> Response:
    """Stop a bulk action."""
    bulk_actions.stop(services().database, caller(), operation_id)
    return redirect(f"{_HOME}/{operation_id}", 303)


def _page(text: str, action: str, wrong: str = "") -> str:
    """Show the list above a form with the search `text` and the action, how many jobs they match, and what is wrong."""
    matched = None
    if text and action and may(Access.WRITE):
        try:
            matched = bulk_actions.count(services().database, caller(), _request(text, action))
        except InvalidParams as error:
            wrong = wrong or error.detail
    elif request.args.get("count"):
        wrong = wrong or "Enter a search; an empty one would match every job."
    before = pagination.decode(request.args.get("cursor"))
    with services().database.reading() as session:
        older = partial(operations.list_operations, session, owner=caller().sees, before=before)
        found = pagination.page(older, _PER_PAGE)
    return render_template(
        "operations.html",
        q=text,
        action=action,
        actions=Action,
        matched=matched,
        more=matched is not None and matched >= operations.MOST_COUNTED,
        wrong=wrong,
        reason=request.form.get("reason", ""),
        time_limit_s=request.form.get("time_limit_s", ""),
        most_s=services().settings.time_limit_s,
        operations=[serialize_operation(each) for each in found.rows],
        searches={each.id: search_query.to_text(operations.filter_from_json(each)) for each in found.rows},
        cursor=found.next_cursor,
    )


def _request(text: str, action: str, *, reason: str | None = None) -> OperationRequest:
    """Build the API's request, a dry run unless a reason is given; raise `InvalidParams`."""
    search = search_query.parse(text)
    if search.job_id is not None:
        raise InvalidParams("That is the ID of a single job; use the buttons on its page.")
    body = {
        "action": action,
        "filter": serialize_filter(search.filter),
        "time_limit_s": forms.number(request.form.get("time_limit_s", "")),
    }
    return validated(OperationRequest, body | ({"dry_run": True} if reason is None else {"reason": reason}))


def _context(operation_id: str) -> dict[str, Any]:
    with services().database.reading() as session:
        found = operations.get_operation(session, operation_id, owner=caller().sees)
    return {"operation": serialize_operation(found), "q": search_query.to_text(operations.filter_from_json(found))}
