"""What operators can do with workers and the queue."""

from __future__ import annotations

from api.access import Caller
from api.services import Services
from shared import logs
from shared.db import workers
from shared.db.admin import audit
from shared.states import DesiredState

#: What the audit log calls what is wished of a worker.
_INSTRUCTIONS = {
    DesiredState.WORK: "worker.resume",
    DesiredState.PAUSE: "worker.pause",
    DesiredState.DRAIN: "worker.drain",
}

log = logs.get(__name__)


def instruct_worker(services: Services, caller: Caller, name: str, wish: DesiredState) -> None:
    """Wish something of a worker, which obeys within seconds; raise `NotFound`."""
    with services.database.writing("instruct") as session:
        workers.set_desired_state(session, name, wish)
        audit.record(session, caller, _INSTRUCTIONS[wish], name)
    log.info("worker_instructed", worker=name, wish=wish)
    if wish == DesiredState.WORK:
        services.dispatcher.nudge()


def pause_queue(services: Services, caller: Caller) -> None:
    """Hand out no more jobs."""
    with services.database.writing("pause_queue") as session:
        workers.pause_queue(session)
        audit.record(session, caller, "queue.pause")
    log.info("queue_paused")


def resume_queue(services: Services, caller: Caller) -> None:
    """Hand out jobs again, from this moment on."""
    with services.database.writing("resume_queue") as session:
        workers.resume_queue(session)
        audit.record(session, caller, "queue.resume")
    log.info("queue_resumed")
    services.dispatcher.nudge()
