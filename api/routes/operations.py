"""Bulk actions: count, start, list, show, stop."""

from functools import partial

from flask import Blueprint, Response, request

from api.access import Access
from api.auth import caller
from api.http import bodies, idempotency
from api.http.pagination import PageQuery, page
from api.http.problems import validated
from api.http.query import parsed_query
from api.http.responses import accepted_response, model_response, page_response
from api.jobs import checks
from api.openapi.operation import operation
from api.schemas.bulk_actions import MatchedView, OperationPage, OperationRequest, OperationView
from api.serializers.bulk_actions import serialize_operation
from api.services import services
from api.usecases import bulk_actions
from shared import errors
from shared.db.admin import bulk_actions as operations

blueprint = Blueprint("operations", __name__, url_prefix="/v1/operations")


@blueprint.post("")
@operation(
    access=Access.WRITE,
    status=202,
    returns=OperationView,
    others={200: ("A dry run: how many jobs it would affect.", MatchedView)},
    takes={"application/json": OperationRequest},
    headers=("Idempotency-Key",),
    errors=(errors.InvalidParams,),
)
def start() -> Response:
    """Cancel, retry or delete all jobs that a filter matches."""
    body, database = bodies.json_object(request), services().database
    operation_request = validated(OperationRequest, body)
    checks.check_limits(services().settings, caller(), operation_request.time_limit_s, None)
    once = idempotency.once(request, caller(), body)
    if operation_request.dry_run:
        matched = bulk_actions.count(database, caller(), operation_request)
        more = matched >= operations.MOST_COUNTED
        return model_response(MatchedView(action=operation_request.action, matched=matched, more=more))
    if once.find(database) is None:
        matched = bulk_actions.count(database, caller(), operation_request)
        with once.writing(database, "start_operation") as session:
            once.set_response(
                serialize_operation(bulk_actions.start(session, caller(), operation_request, matched)), 202
            )
    return accepted_response(once)


@blueprint.get("")
@operation(access=Access.READ, returns=OperationPage, query=PageQuery)
def listing() -> Response:
    """List operations, newest first."""
    query = parsed_query(PageQuery)
    with services().database.reading() as session:
        older = partial(operations.list_operations, session, owner=caller().sees, before=query.cursor)
        found = page(older, query.limit)
    views = [serialize_operation(each) for each in found.rows]
    return page_response(OperationPage(operations=views, next_cursor=found.next_cursor))


@blueprint.get("/<operation_id>")
@operation(access=Access.READ, returns=OperationView)
def show(operation_id: str) -> Response:
    """Show the progress of an operation."""
    with services().database.reading() as session:
        return model_response(serialize_operation(operations.get_operation(session, operation_id, owner=caller().sees)))


@blueprint.post("/<operation_id>/stop")
@operation(access=Access.WRITE, returns=OperationView, errors=(errors.IllegalTransition,))
def stop(operation_id: str) -> Response:
    """Stop an operation; what it has done stays done."""
    return model_response(serialize_operation(bulk_actions.stop(services().database, caller(), operation_id)))
