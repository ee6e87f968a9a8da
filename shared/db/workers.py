"""Every write to a worker's row and to the queue's: what they say of themselves, and what operators wish of them.

The wishes are columns, so they outlive a wiped Redis and restarted workers; a claim asks them first.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared import clock
from shared.db import sql_clock
from shared.db.models import Job, Queue, Worker
from shared.errors import NotFound
from shared.states import DesiredState

#: A worker that has said nothing for this long counts as gone, in seconds.
ALIVE_S = 15.0


def beat(session: Session, name: str, about: dict[str, Any] | None = None) -> DesiredState:
    """Say that a worker lives, adding its row if there is none; return what is wished of it."""
    values: dict[str, Any] = {"seen_at": sql_clock.now()}
    if about is not None:
        values["about"] = about
    statement = update(Worker).where(Worker.name == name).values(**values).returning(Worker.wish)
    wish = session.scalar(statement.execution_options(synchronize_session=False))
    if wish is None:
        _arrive(session, name, about)
    return DesiredState(wish or DesiredState.WORK)


def _arrive(session: Session, name: str, about: dict[str, Any] | None) -> None:
    try:
        with session.begin_nested():
            values = {
                "wish": DesiredState.WORK,
                "about": about,
                "started_at": sql_clock.now(),
                "seen_at": sql_clock.now(),
            }
            session.execute(insert(Worker).values(name=name, **values))
    except IntegrityError:  # parent and child say so at the same time
        return


def get_description(session: Session, name: str) -> dict[str, Any] | None:
    """Return what a worker last said of itself; None also if it is not known."""
    return session.scalar(select(Worker.about).where(Worker.name == name))


def describe(session: Session, name: str, about: dict[str, Any]) -> None:
    """Keep what a worker says of itself; nothing happens to one that is not known."""
    session.execute(update(Worker).where(Worker.name == name).values(about=about))


def leave(session: Session, name: str) -> None:
    """Forget a worker that ends."""
    session.execute(delete(Worker).where(Worker.name == name))


def set_desired_state(session: Session, name: str, wish: DesiredState) -> None:
    """Wish something of a worker; raise `NotFound`."""
    statement = update(Worker).where(Worker.name == name).values(wish=wish).returning(Worker.name)
    if session.scalar(statement) is None:
        raise NotFound(f"There is no worker {name}.")


def list_alive(session: Session) -> list[Worker]:
    """Return the workers that were heard of lately, by name."""
    return list(
        session.scalars(select(Worker).where(Worker.seen_at > sql_clock.now_plus(-ALIVE_S)).order_by(Worker.name))
    )


def list_workers(session: Session) -> list[Worker]:
    """Return all workers, those too that are gone but not yet forgotten, by name."""
    return list(session.scalars(select(Worker).order_by(Worker.name)))


def count_accepting(session: Session) -> int:
    """Count the workers that live and take jobs."""
    living = select(func.count()).select_from(Worker)
    return (
        session.scalar(living.where(Worker.seen_at > sql_clock.now_plus(-ALIVE_S), Worker.wish == DesiredState.WORK))
        or 0
    )


def get_queue(session: Session) -> Queue:
    """Return the queue's row."""
    return session.scalars(select(Queue)).one()


def pause_queue(session: Session) -> None:
    """Hand out no more jobs; those that run go on."""
    session.execute(update(Queue).where(Queue.paused_at.is_(None)).values(paused_at=clock.now()))


def resume_queue(session: Session) -> None:
    """Hand out jobs again, those first whose messages workers refused meanwhile."""
    session.execute(update(Queue).values(paused_at=None))
    sent = update(Job).where(Job.dispatched_at.is_not(None))
    session.execute(sent.values(dispatched_at=None).execution_options(synchronize_session=False))


def hold_queue(session: Session, code: str | None) -> None:
    """Send nothing until the trouble of that code is mended; None says that it is."""
    session.execute(update(Queue).values(held_for=code))
