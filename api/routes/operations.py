"""Bulk actions: begin, count first, list, show, stop."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response, request
from sqlalchemy.orm import Session

from api.access import Access
from api.auth import caller
from api.http import bodies, idempotency, pagination
from api.http.idempotency import Answer
from api.http.problems import validated
from api.http.responses import accepted, json_answer, paged
from api.openapi.operation import operation
from api.openapi.parameters import PAGING
from api.schemas.bulk_actions import MatchedView, OperationPage, OperationRequest, OperationView
from api.serializers.bulk_actions import serialize_operation
from api.services import services
from api.usecases import bulk_actions
from shared import errors
from shared.db.admin import bulk_actions as operations
from shared.db.models import Operation

blueprint = Blueprint("operations", __name__, url_prefix="/v1/operations")


@blueprint.post("")
@operation(
    "Cancel, try again or delete all jobs that a filter finds",
    access=Access.WRITE,
    status=202,
    returns=OperationView,
    others={200: ("A dry run: how many jobs it would be about.", MatchedView)},
    takes={"application/json": OperationRequest},
    headers=("Idempotency-Key",),
    errors=(errors.InvalidParams, errors.IdempotencyConflict),
)
def start() -> Response:
    """Begin an operation, or say what it would be about."""
    body = bodies.json_object(request)
    asked, who = validated(OperationRequest, body), caller()
    once = idempotency.named(request, who, body)
    if asked.dry_run:
        matched = bulk_actions.count(services(), who, asked)
        more = matched >= operations.MOST_COUNTED
        return json_answer(MatchedView(action=asked.action, matched=matched, more=more))

    def act(note: Callable[[Session, Operation], None]) -> None:
        bulk_actions.start(services(), who, asked, note=note)

    answer, replayed = idempotency.make(services(), once, act, _answer_to)
    return accepted(answer, replayed=replayed)


@blueprint.get("")
@operation(
    "List operations, newest first",
    access=Access.READ,
    returns=OperationPage,
    query=PAGING,
    errors=(errors.InvalidParams,),
)
def listing() -> Response:
    """List operations."""
    limit = pagination.limit(request.args.get("limit"))
    before = pagination.decode(request.args.get("cursor"))
    with services().database.reading() as session:
        found = operations.list_operations(session, owner=caller().sees, before=before, limit=limit + 1)
    page = found[:limit]
    cursor = pagination.encode(page[-1].id) if len(found) > limit else None
    return paged(OperationPage(operations=[serialize_operation(each) for each in page], next_cursor=cursor), cursor)


@blueprint.get("/<operation_id>")
@operation("Show how far an operation is", access=Access.READ, returns=OperationView, errors=(errors.NotFound,))
def show(operation_id: str) -> Response:
    """Show an operation."""
    with services().database.reading() as session:
        return json_answer(serialize_operation(operations.get_operation(session, operation_id, owner=caller().sees)))


@blueprint.post("/<operation_id>/stop")
@operation(
    "Stop an operation; what it has done stays done",
    access=Access.WRITE,
    returns=OperationView,
    errors=(errors.NotFound, errors.IllegalTransition),
)
def stop(operation_id: str) -> Response:
    """Stop an operation."""
    return json_answer(serialize_operation(bulk_actions.stop(services(), caller(), operation_id)))


def _answer_to(found: Operation) -> Answer:
    view = serialize_operation(found)
    return Answer(202, view.links["self"], view.model_dump_json())
