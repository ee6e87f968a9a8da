"""What operators can do with workers and the queue."""

from api.access import Caller
from shared import logs
from shared.db import workers
from shared.db.admin import audit
from shared.db.base import Database
from shared.messaging.dispatch import Dispatcher
from shared.states import DesiredState

#: What the audit log calls each change of a worker's desired state.
_ACTIONS = {DesiredState.WORK: "worker.resume", DesiredState.PAUSE: "worker.pause", DesiredState.DRAIN: "worker.drain"}

log = logs.get(__name__)


def set_desired_state(
    database: Database, dispatcher: Dispatcher, caller: Caller, name: str, state: DesiredState
) -> None:
    """Set what a worker is to do; it reads that with its next heartbeat. Raises `NotFound`."""
    with database.writing("instruct") as session:
        workers.set_desired_state(session, name, state)
        audit.record(session, caller, _ACTIONS[state], name)
    log.info("worker_instructed", worker=name, wish=state)
    if state == DesiredState.WORK:
        dispatcher.nudge()


def pause_queue(database: Database, caller: Caller) -> None:
    """Dispatch no more jobs; running ones continue. Pausing twice is allowed."""
    with database.writing("pause_queue") as session:
        workers.pause_queue(session)
        audit.record(session, caller, "queue.pause")
    log.info("queue_paused")


def resume_queue(database: Database, dispatcher: Dispatcher, caller: Caller) -> None:
    """Dispatch jobs again, at once."""
    with database.writing("resume_queue") as session:
        workers.resume_queue(session)
        audit.record(session, caller, "queue.resume")
    log.info("queue_resumed")
    dispatcher.nudge()
