"""What a bulk action does to the jobs of one chunk, whose rows are locked.

Invariant: a job that cannot be processed is counted as refused and does not affect the others.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy.orm import Session

from shared.db import images
from shared.db.access import quotas
from shared.db.jobs import queries, retries, transitions
from shared.db.models import Job, Operation
from shared.errors import AtelierError, IllegalTransition, QuotaExceeded
from shared.states import State


class Action(StrEnum):
    """An action on many jobs."""

    CANCEL = "cancel"
    RETRY = "retry"
    DELETE = "delete"


class ActionResult(NamedTuple):
    """How many jobs were refused, and what has to be done after the commit."""

    refused: int
    #: Running jobs to be canceled: their workers have to be signalled.
    stopping: list[str]
    #: Deleted jobs: their files have to be removed.
    removed: list[str]


def apply(session: Session, operation: Operation, found: Sequence[Job], *, stored: int | None) -> ActionResult:
    """Apply the operation's action to locked jobs; `stored` is how many bytes owners may store by default."""
    if operation.action == Action.RETRY:
        return ActionResult(_retry(session, operation, found, stored), [], [])
    if operation.action == Action.DELETE:
        return _delete(session, found)
    return _cancel(session, found)


def _cancel(session: Session, found: Sequence[Job]) -> ActionResult:
    refused, stopping = 0, []
    for job in found:
        try:
            if transitions.request_cancel(session, job.id) == State.RUNNING:
                stopping.append(job.id)
        except IllegalTransition:
            refused += 1
    return ActionResult(refused, stopping, [])


def _delete(session: Session, found: Sequence[Job]) -> ActionResult:
    removed = []
    for job in found:
        try:
            transitions.remove(session, job.id)
            removed.append(job.id)
        except IllegalTransition:
            continue
    return ActionResult(len(found) - len(removed), [], removed)


def _retry(session: Session, operation: Operation, found: Sequence[Job], stored: int | None) -> int:
    """Retry jobs, ordered by owner against deadlocks; return how many could not be, for lack of images or quota."""
    kept = queries.get_images(session, {image for job in found for image in retries.image_ids(job)})
    changes = {} if operation.time_limit_s is None else {"time_limit_s": operation.time_limit_s}
    ready: list[tuple[Job, int]] = []
    for job in found:
        try:
            copy = retries.copy_for_retry(job, changes, keeps_lead=operation.owner is None)
            ready.append((copy, retries.compute_work(copy, kept)))
        except (AtelierError, ValueError):  # old params may no longer be valid
            continue
    images.record_use(session, {image for job, _ in ready for image in retries.image_ids(job)})
    known: dict[str, quotas.Quota] = {}
    queued = 0
    for job, work in sorted(ready, key=lambda pair: pair[0].owner):
        quota = known.get(job.owner) or known.setdefault(job.owner, _quota(session, operation, job.owner, stored))
        try:
            quotas.charge(session, quota, work=work)
        except QuotaExceeded:
            continue
        transitions.create(session, job)
        queued += 1
    return len(found) - queued


def _quota(session: Session, operation: Operation, owner: str, stored: int | None) -> quotas.Quota:
    """Return the quota of the key for a client's operation, and that of the job's owner for an operator's."""
    if operation.owner:
        return quotas.get_key_quota(session, operation.key_id, stored=stored)
    return quotas.get_owner_quota(session, owner, stored=stored)
