"""What an operator sees and steers: the workers and the queue."""

from __future__ import annotations

from flask import Blueprint, Response
from pydantic import BaseModel

from api.access import Access
from api.auth import caller
from api.openapi.operation import operation
from api.schemas.admin import BacklogView, WorkersView, WorkerView
from api.serializers.admin import serialize_backlog, serialize_workers
from api.services import services
from api.usecases import workers as usecases_workers
from shared import errors
from shared.states import DesiredState

blueprint = Blueprint("operators", __name__, url_prefix="/v1")


@blueprint.get("/workers")
@operation("List the workers", access=Access.OVERSEE, returns=WorkersView, errors=(errors.DatabaseUnavailable,))
def workers() -> Response:
    """List the workers."""
    return _json(serialize_workers(services().database))


@blueprint.post("/workers/<name>/drain")
@operation(
    "Have a worker hand back its job, with a checkpoint, and take no other",
    access=Access.OPERATE,
    returns=WorkerView,
    errors=(errors.NotFound, errors.DatabaseUnavailable),
)
def drain_worker(name: str) -> Response:
    """Drain a worker."""
    return _instructed(name, DesiredState.DRAIN)


@blueprint.post("/workers/<name>/pause")
@operation(
    "Have a worker take no further job; it finishes the one it has",
    access=Access.OPERATE,
    returns=WorkerView,
    errors=(errors.NotFound, errors.DatabaseUnavailable),
)
def pause_worker(name: str) -> Response:
    """Pause a worker."""
    return _instructed(name, DesiredState.PAUSE)


@blueprint.post("/workers/<name>/resume")
@operation(
    "Have a worker take jobs again",
    access=Access.OPERATE,
    returns=WorkerView,
    errors=(errors.NotFound, errors.DatabaseUnavailable),
)
def resume_worker(name: str) -> Response:
    """Let a worker work."""
    return _instructed(name, DesiredState.WORK)


@blueprint.get("/queue")
@operation(
    "Show the queue as a whole", access=Access.OVERSEE, returns=BacklogView, errors=(errors.DatabaseUnavailable,)
)
def queue() -> Response:
    """Show the queue."""
    return _json(serialize_backlog(services().database))


@blueprint.post("/queue/pause")
@operation(
    "Hand out no more jobs; those that run go on",
    access=Access.OPERATE,
    returns=BacklogView,
    errors=(errors.DatabaseUnavailable,),
)
def pause_queue() -> Response:
    """Pause the queue."""
    usecases_workers.pause_queue(services(), caller())
    return _json(serialize_backlog(services().database))


@blueprint.post("/queue/resume")
@operation("Hand out jobs again", access=Access.OPERATE, returns=BacklogView, errors=(errors.DatabaseUnavailable,))
def resume_queue() -> Response:
    """Resume the queue."""
    usecases_workers.resume_queue(services(), caller())
    return _json(serialize_backlog(services().database))


def _instructed(name: str, wish: DesiredState) -> Response:
    """Wish something of a worker and show it; it may end and be forgotten in between."""
    usecases_workers.instruct_worker(services(), caller(), name, wish)
    for view in serialize_workers(services().database).workers:
        if view.name == name:
            return _json(view)
    raise errors.NotFound(f"There is no worker {name} any more.")


def _json(view: BaseModel) -> Response:
    return Response(view.model_dump_json(), content_type="application/json")
