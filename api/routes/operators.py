"""The workers and the queue, for operators: shown, paused, resumed, drained."""

from flask import Blueprint, Response

from api.access import Access
from api.auth import caller
from api.http.responses import model_response
from api.openapi.operation import operation
from api.schemas.admin import BacklogView, WorkersView, WorkerView
from api.serializers.admin import serialize_backlog, serialize_workers
from api.services import services
from api.usecases import workers as control
from shared import errors
from shared.states import DesiredState

blueprint = Blueprint("operators", __name__, url_prefix="/v1")


@blueprint.get("/workers")
@operation(access=Access.OVERSEE, returns=WorkersView)
def workers() -> Response:
    """List the workers."""
    return model_response(serialize_workers(services().database))


@blueprint.post("/workers/<name>/drain")
@operation(access=Access.OPERATE, returns=WorkerView)
def drain_worker(name: str) -> Response:
    """Drain a worker: it hands back its job, with a checkpoint, and takes no other."""
    return _set_state(name, DesiredState.DRAIN)


@blueprint.post("/workers/<name>/pause")
@operation(access=Access.OPERATE, returns=WorkerView)
def pause_worker(name: str) -> Response:
    """Pause a worker: it finishes the job it has and takes no other."""
    return _set_state(name, DesiredState.PAUSE)


@blueprint.post("/workers/<name>/resume")
@operation(access=Access.OPERATE, returns=WorkerView)
def resume_worker(name: str) -> Response:
    """Resume a worker: it takes jobs again."""
    return _set_state(name, DesiredState.WORK)


@blueprint.get("/queue")
@operation(access=Access.OVERSEE, returns=BacklogView)
def queue() -> Response:
    """Show how many jobs wait and run."""
    return model_response(serialize_backlog(services().database))


@blueprint.post("/queue/pause")
@operation(access=Access.OPERATE, returns=BacklogView)
def pause_queue() -> Response:
    """Pause the queue: no more jobs start; those that run go on."""
    control.pause_queue(services().database, caller())
    return model_response(serialize_backlog(services().database))


@blueprint.post("/queue/resume")
@operation(access=Access.OPERATE, returns=BacklogView)
def resume_queue() -> Response:
    """Resume the queue."""
    control.resume_queue(services().database, services().dispatcher, caller())
    return model_response(serialize_backlog(services().database))


def _set_state(name: str, state: DesiredState) -> Response:
    """Set what a worker is to do and show it; raise `NotFound`, also if its row has just been removed."""
    control.set_desired_state(services().database, services().dispatcher, caller(), name, state)
    for view in serialize_workers(services().database).workers:
        if view.name == name:
            return model_response(view)
    raise errors.NotFound(f"There is no worker {name}.")
