"""Bulk actions: one action on every job that matches a filter, which maintenance applies a chunk at a time.

A chunk is up to `CHUNK_SIZE` jobs in the order of their sort ids. Its transaction locks the operation, changes the jobs
and advances the cursor, `reached`, so a process that dies has done all of a chunk or none of it. A job that someone
else has locked ends the chunk and begins the next.

Invariant: each job is processed at most once, and only if it was submitted before the operation.
"""

from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from shared import clock, ids
from shared.db.admin import bulk_steps
from shared.db.admin.bulk_steps import Action, ActionResult
from shared.db.jobs import queries
from shared.db.jobs.queries import Filter
from shared.db.lookups import delete_some, equal, list_newest, visible
from shared.db.models import Job, Operation
from shared.errors import IllegalTransition
from shared.states import TERMINAL, OperationState, State

#: Jobs processed in one transaction; on SQLite that takes 0.2 s, during which other writers wait.
CHUNK_SIZE = 100
#: Matching jobs are counted up to this number.
MOST_COUNTED = 100_000
#: How long ended operations are kept: as long as the audit log refers to them.
_KEPT = timedelta(days=400)
#: The states that an action applies to if the filter names none.
_DEFAULT_STATES: dict[Action, tuple[State, ...]] = {
    Action.CANCEL: (State.QUEUED, State.RUNNING),
    Action.RETRY: tuple(state for state in State if state in TERMINAL),
    Action.DELETE: tuple(state for state in State if state in TERMINAL),
}


class ChunkResult(NamedTuple):
    """What one transaction did for an operation, and whether the operation advanced."""

    operation: Operation
    result: ActionResult
    advanced: bool


def count_matches(session: Session, action: Action, wanted: Filter) -> int:
    """Count the jobs that an operation would process, up to `MOST_COUNTED`."""
    return queries.count_jobs(session, with_default_states(action, wanted), most=MOST_COUNTED)


def create(session: Session, operation: Operation) -> None:
    """Insert an operation whose action, filter, reason, key and `matched` are set: nothing → running."""
    operation.id = ids.new_id()
    operation.until = operation.id  # ids sort by time, so no job submitted from now on is below it
    operation.state, operation.created_at = OperationState.RUNNING, clock.now()
    session.add(operation)
    session.flush()


def get_operation(session: Session, operation_id: str, *, owner: str | None = None) -> Operation:
    """Return an operation, `owner`'s if given; raise `NotFound`."""
    return visible(session.get(Operation, operation_id), f"operation {operation_id}", owner)


def list_operations(session: Session, *, owner: str | None, before: str | None, limit: int) -> list[Operation]:
    """Return up to `limit` operations, `owner`'s if given, newest first, with ids below `before`."""
    return list_newest(session, Operation, *equal({Operation.owner: owner}), before=before, limit=limit)


def stop(session: Session, operation_id: str, *, owner: str | None = None) -> Operation:
    """Stop an operation: running → stopped. Stopping it again changes nothing.

    Raises `NotFound`, or `IllegalTransition` for one that is done.
    """
    locked = select(Operation).where(Operation.id == operation_id).with_for_update()
    locked = locked.execution_options(populate_existing=True)
    found = visible(session.scalars(locked).one_or_none(), f"operation {operation_id}", owner)
    if found.state == OperationState.DONE:
        raise IllegalTransition("The operation is done; there is nothing left to stop.", state=found.state)
    if found.state == OperationState.RUNNING:
        _end(found, OperationState.STOPPED)
        session.flush()
    return found


def list_running(session: Session) -> list[str]:
    """Return the ids of the running operations, oldest first."""
    running = select(Operation.id).where(Operation.state == OperationState.RUNNING)
    return list(session.scalars(running.order_by(Operation.id)))


def run_chunk(session: Session, operation_id: str, *, stored: int | None = None) -> ChunkResult | None:
    """Process the next chunk of an operation; return None if another process is at it, or it has ended.

    `stored` is how many bytes owners may store by default; None is no limit.
    """
    free = select(Operation).where(Operation.id == operation_id, Operation.state == OperationState.RUNNING)
    found = session.scalars(free.with_for_update(skip_locked=True)).one_or_none()
    if found is None:
        return None
    wanted = filter_from_json(found)
    job_ids = next_job_ids(session, found, wanted)
    locked = _lock(session, job_ids)
    due = [job for job in locked if job.state in wanted.among]  # others may have changed since they were read
    result = bulk_steps.apply(session, found, due, stored=stored)
    found.done += len(due)
    found.refused += result.refused
    found.matched = max(found.matched, found.done)  # counted at the start, and no further than `MOST_COUNTED`
    is_done = (
        len(locked) == len(job_ids) < CHUNK_SIZE
    )  # a full chunk, or one that ends at a lock, may have more behind it
    if locked:
        found.reached = locked[-1].sort_id
    if is_done:
        _end(found, OperationState.DONE)
    session.flush()
    return ChunkResult(found, result, advanced=bool(locked) or is_done)


def next_job_ids(session: Session, found: Operation, wanted: Filter) -> list[str]:
    """Return the ids of the jobs of the next chunk, in the order of their sort ids."""
    if not wanted.among:
        return []
    rest = [Job.sort_id <= found.until, *([Job.sort_id > found.reached] if found.reached is not None else [])]
    wheres = ([*queries.conditions(wanted, state), *rest] for state in wanted.among)
    return list(session.scalars(queries.first_ids(wheres, CHUNK_SIZE)))


def forget(session: Session, limit: int) -> None:
    """Delete up to `limit` ended operations that are old."""
    is_old = Operation.id < ids.first_at(clock.now() - _KEPT)
    delete_some(session, Operation.id, is_old, Operation.state != OperationState.RUNNING, limit=limit)


def with_default_states(action: Action, wanted: Filter) -> Filter:
    """Return the filter with the default states of the action, if it names none."""
    return wanted if wanted.states else wanted._replace(states=_DEFAULT_STATES[action])


def filter_to_json(wanted: Filter) -> dict[str, Any]:
    """Convert a filter to JSON: the fields that are set."""
    given = {name: value for name, value in wanted._asdict().items() if value is not None and value != ()}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in given.items()}


def filter_from_json(found: Operation) -> Filter:
    """Return an operation's filter with its states; that of a client matches only the client's jobs."""
    kept = dict(found.chosen)
    for name in ("created_after", "created_before"):
        if name in kept:
            kept[name] = datetime.fromisoformat(kept[name])
    kept["states"] = [State(state) for state in kept.get("states", ())]
    if found.owner is not None:
        kept["owner"] = found.owner
    return with_default_states(Action(found.action), Filter(**kept))


def _lock(session: Session, job_ids: list[str]) -> list[Job]:
    """Lock jobs, up to the first that someone else has locked."""
    free = select(Job).where(Job.id.in_(job_ids)).with_for_update(skip_locked=True)
    locked = {job.id: job for job in session.scalars(free)}
    return [locked[job_id] for job_id in takewhile(locked.__contains__, job_ids)]


def _end(found: Operation, state: OperationState) -> None:
    found.state, found.ended_at = state, clock.now()
