"""Actions on every job that a filter finds: asked for, stopped, and carried out by maintenance, a portion at a time.

A portion is up to `AT_ONCE` jobs, in the order of their places. Its transaction has the operation's row locked, does
the work and moves the cursor, `reached`: any number of processes may advance, and one that dies has done all of a
portion or none of it. What somebody else has locked ends a portion; it comes with the next.

Invariant: each job is dealt with once at most, and none that was made after the operation.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any, NamedTuple

from sqlalchemy import select, union_all
from sqlalchemy.orm import Session

from shared import clock, ids
from shared.db.admin import bulk_steps
from shared.db.admin.bulk_steps import Action, Outcome
from shared.db.jobs import queries
from shared.db.jobs.queries import Filter
from shared.db.models import Job, Operation
from shared.errors import IllegalTransition, NotFound
from shared.states import TERMINAL, OperationState, State

#: Jobs dealt with in one transaction, which takes a fifth of a second on SQLite, where others wait to write.
AT_ONCE = 100
#: Up to here, what a filter finds is counted.
MOST_COUNTED = 100_000
#: How long operations that have ended are kept: as long as the audit log names them.
_KEPT = timedelta(days=400)


#: The jobs that an action is for, where no states are asked for.
_MEANT: dict[Action, tuple[State, ...]] = {
    Action.CANCEL: (State.QUEUED, State.RUNNING),
    Action.RETRY: tuple(state for state in State if state in TERMINAL),
    Action.DELETE: tuple(state for state in State if state in TERMINAL),
}


class Chunk(NamedTuple):
    """What one transaction did for an operation, and whether it came any further."""

    operation: Operation
    outcome: Outcome
    moved: bool


def count_matches(session: Session, action: Action, wanted: Filter) -> int:
    """Count the jobs that an operation would deal with, exactly up to `MOST_COUNTED`."""
    return queries.count_jobs(session, with_default_states(action, wanted), most=MOST_COUNTED)


def create(session: Session, operation: Operation) -> None:
    """Begin an operation, whose action, filter, reason, key and `matched` are set: nothing → running."""
    operation.id = ids.new_id()
    operation.until = operation.id
    operation.state, operation.created_at = OperationState.RUNNING, clock.now()
    session.add(operation)
    session.flush()


def get_operation(session: Session, operation_id: str, *, owner: str | None = None) -> Operation:
    """Return an operation; raise `NotFound`, also for one that is not its `owner`'s."""
    return _found(session.get(Operation, operation_id), operation_id, owner)


def list_operations(session: Session, *, owner: str | None, before: str | None, limit: int) -> list[Operation]:
    """Return up to `limit` operations, newest first, of that owner unless it is None, further back than `before`."""
    query = select(Operation).order_by(Operation.id.desc()).limit(limit)
    if owner is not None:
        query = query.where(Operation.owner == owner)
    if before is not None:
        query = query.where(Operation.id < before)
    return list(session.scalars(query))


def stop(session: Session, operation_id: str, *, owner: str | None = None) -> Operation:
    """Have an operation deal with no further job: running → stopped. Stopping twice is stopping once.

    Raises `NotFound`, and `IllegalTransition` for one that is through.
    """
    locked = select(Operation).where(Operation.id == operation_id).with_for_update()
    locked = locked.execution_options(populate_existing=True)
    found = _found(session.scalars(locked).one_or_none(), operation_id, owner)
    if found.state == OperationState.DONE:
        raise IllegalTransition("The operation is done; there is nothing left to stop.", state=found.state)
    if found.state == OperationState.RUNNING:
        _end(found, OperationState.STOPPED)
        session.flush()
    return found


def list_running(session: Session) -> list[str]:
    """Return the operations that are under way, the oldest first."""
    return list(
        session.scalars(select(Operation.id).where(Operation.state == OperationState.RUNNING).order_by(Operation.id))
    )


def run_chunk(session: Session, operation_id: str) -> Chunk | None:
    """Deal with the next jobs of an operation; None if somebody else does so now, or it has ended."""
    free = select(Operation).where(Operation.id == operation_id, Operation.state == OperationState.RUNNING)
    found = session.scalars(free.with_for_update(skip_locked=True)).one_or_none()
    if found is None:
        return None
    wanted = filter_from_json(found)
    job_ids = next_jobs(session, found, wanted)
    held = _held(session, job_ids)
    due = [job for job in held if job.state in wanted.among]  # the others have moved on while they were looked for
    outcome = bulk_steps.apply(session, found, due)
    found.done += len(due)
    found.refused += outcome.refused
    found.matched = max(found.matched, found.done)
    is_through = len(held) == len(job_ids) < AT_ONCE
    if held:
        found.reached = held[-1].sort_id
    if is_through:
        _end(found, OperationState.DONE)
    session.flush()
    return Chunk(found, outcome, moved=bool(held) or is_through)


def next_jobs(session: Session, found: Operation, wanted: Filter) -> list[str]:
    """List the jobs of the next portion, in the order of their places."""
    if not wanted.among:
        return []
    pages = []
    for state in wanted.among:
        page = select(Job.id, Job.sort_id).where(*queries.conditions(wanted, state), Job.sort_id <= found.until)
        if found.reached is not None:
            page = page.where(Job.sort_id > found.reached)
        one = page.order_by(Job.sort_id).limit(AT_ONCE).subquery()
        pages.append(select(one.c.id, one.c.sort_id))
    both = union_all(*pages).subquery()
    return list(session.scalars(select(both.c.id).order_by(both.c.sort_id).limit(AT_ONCE)))


def forget(session: Session, limit: int) -> None:
    """Delete up to `limit` operations that ended long ago."""
    old = select(Operation).where(Operation.id < ids.first_at(clock.now() - _KEPT))
    old = old.where(Operation.state != OperationState.RUNNING).order_by(Operation.id).limit(limit)
    for found in session.scalars(old.with_for_update(skip_locked=True)):
        session.delete(found)


def with_default_states(action: Action, wanted: Filter) -> Filter:
    """Return the filter with the states that the action is for, if it names none."""
    return wanted if wanted.states else wanted._replace(states=_MEANT[action])


def filter_to_json(wanted: Filter) -> dict[str, Any]:
    """Write a filter as an operation keeps it: the fields that are given."""
    given = {name: value for name, value in wanted._asdict().items() if value is not None and value != ()}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in given.items()}


def filter_from_json(found: Operation) -> Filter:
    """Read the filter that an operation keeps, with the states that it is for; a client's finds its own jobs alone."""
    kept = dict(found.chosen)
    for name in ("created_after", "created_before"):
        if name in kept:
            kept[name] = datetime.fromisoformat(kept[name])
    kept["states"] = [State(state) for state in kept.get("states", ())]
    if found.owner is not None:
        kept["owner"] = found.owner
    return with_default_states(Action(found.action), Filter(**kept))


def _held(session: Session, job_ids: list[str]) -> list[Job]:
    """Lock jobs, up to the first that somebody else has."""
    free = select(Job).where(Job.id.in_(job_ids)).with_for_update(skip_locked=True)
    locked = {job.id: job for job in session.scalars(free)}
    return [locked[job_id] for job_id in takewhile(locked.__contains__, job_ids)]


def _end(found: Operation, state: OperationState) -> None:
    found.state, found.ended_at = state, clock.now()


def _found(found: Operation | None, operation_id: str, owner: str | None) -> Operation:
    if found is None or owner not in (None, found.owner):  # a stranger's is not told from none
        raise NotFound(f"There is no operation {operation_id}.")
    return found
