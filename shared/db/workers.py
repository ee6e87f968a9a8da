"""Workers and the queue's switch: heartbeats, and what operators want workers and queue to do.

These are columns, so they survive a wiped Redis and restarted workers; claims check them.
"""

from typing import Any

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.orm import Session

from shared import clock
from shared.db import sql_clock
from shared.db.lookups import insert_if_absent
from shared.db.models import Job, Queue, Worker
from shared.errors import NotFound
from shared.states import DesiredState

#: A worker without a heartbeat for this long counts as lost, in seconds.
ALIVE_S = 15.0


def record_heartbeat(session: Session, name: str, about: dict[str, Any] | None = None) -> DesiredState:
    """Record a heartbeat, inserting the worker if needed; return its desired state."""
    values: dict[str, Any] = {"seen_at": sql_clock.now()}
    if about is not None:
        values["about"] = about
    statement = update(Worker).where(Worker.name == name).values(**values).returning(Worker.desired_state)
    desired = session.scalar(statement.execution_options(synchronize_session=False))
    if desired is None:
        desired = DesiredState.WORK
        times = {"started_at": sql_clock.now(), "seen_at": sql_clock.now()}
        # the worker's parent and child may insert it at the same time
        insert_if_absent(session, Worker, name=name, desired_state=desired, about=about, **times)
    return DesiredState(desired)


def get_description(session: Session, name: str) -> dict[str, Any] | None:
    """Return how a worker last described itself; None if it is unknown or has not yet."""
    return session.scalar(select(Worker.about).where(Worker.name == name))


def set_description(session: Session, name: str, about: dict[str, Any]) -> None:
    """Store how a worker describes itself; does nothing for an unknown one."""
    session.execute(update(Worker).where(Worker.name == name).values(about=about))


def remove(session: Session, name: str) -> None:
    """Delete a worker that shuts down."""
    session.execute(delete(Worker).where(Worker.name == name))


def set_desired_state(session: Session, name: str, desired: DesiredState) -> None:
    """Set what a worker should do; raise `NotFound`."""
    statement = update(Worker).where(Worker.name == name).values(desired_state=desired).returning(Worker.name)
    if session.scalar(statement) is None:
        raise NotFound(f"There is no worker {name}.")


def list_alive(session: Session) -> list[Worker]:
    """Return the workers with a recent heartbeat, by name."""
    return list(session.scalars(select(Worker).where(_is_alive()).order_by(Worker.name)))


def list_workers(session: Session) -> list[Worker]:
    """Return all workers, including lost ones that are not deleted yet, by name."""
    return list(session.scalars(select(Worker).order_by(Worker.name)))


def count_accepting(session: Session) -> int:
    """Count the workers that are alive and take jobs."""
    query = select(func.count()).select_from(Worker).where(_is_alive(), Worker.desired_state == DesiredState.WORK)
    return session.scalar(query) or 0


def _is_alive() -> ColumnElement[bool]:
    alive: ColumnElement[bool] = Worker.seen_at > sql_clock.now_plus(-ALIVE_S)
    return alive


def get_queue(session: Session) -> Queue:
    """Return the queue's row."""
    return session.scalars(select(Queue)).one()


def pause_queue(session: Session) -> None:
    """Stop dispatch and claims; running jobs continue."""
    session.execute(update(Queue).where(Queue.paused_at.is_(None)).values(paused_at=clock.now()))


def resume_queue(session: Session) -> None:
    """Resume dispatch; jobs whose messages workers have dropped in the meantime become due at once."""
    session.execute(update(Queue).values(paused_at=None))
    sent = update(Job).where(Job.dispatched_at.is_not(None))
    session.execute(sent.values(dispatched_at=None).execution_options(synchronize_session=False))


def hold_queue(session: Session, code: str | None) -> None:
    """Stop dispatch because of the error `code`; None resumes it."""
    session.execute(update(Queue).values(held_for=code))
