"""What an operation does to the jobs of one portion, whose rows are locked.

Invariant: one job that cannot be dealt with is counted as refused, and never keeps the others from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy.orm import Session

from shared.db import images
from shared.db.access import quotas
from shared.db.jobs import queries, successors, transitions
from shared.db.models import Job, Operation
from shared.errors import AtelierError, IllegalTransition, QuotaExceeded
from shared.states import State


class Action(StrEnum):
    """What can be done to many jobs."""

    CANCEL = "cancel"
    RETRY = "retry"
    DELETE = "delete"


class Outcome(NamedTuple):
    """How many jobs refused, and what is to follow once the transaction is committed."""

    refused: int
    #: Running jobs that are to stop: those who run them are to be told.
    stopping: list[str]
    #: Jobs that are gone: their files are to go.
    removed: list[str]


def apply(session: Session, operation: Operation, found: Sequence[Job]) -> Outcome:
    """Do to locked jobs what the operation is for."""
    if operation.action == Action.RETRY:
        return Outcome(_retry(session, operation, found), [], [])
    if operation.action == Action.DELETE:
        return _delete(session, found)
    return _cancel(session, found)


def _cancel(session: Session, found: Sequence[Job]) -> Outcome:
    refused, stopping = 0, []
    for job in found:
        try:
            if transitions.request_cancel(session, job.id) == State.RUNNING:
                stopping.append(job.id)
        except IllegalTransition:
            refused += 1
    return Outcome(refused, stopping, [])


def _delete(session: Session, found: Sequence[Job]) -> Outcome:
    removed = []
    for job in found:
        try:
            transitions.remove(session, job.id)
            removed.append(job.id)
        except IllegalTransition:
            continue
    return Outcome(len(found) - len(removed), [], removed)


def _retry(session: Session, operation: Operation, found: Sequence[Job]) -> int:
    """Queue successors, the owners in one order; return how many jobs have none, for want of pictures or quota."""
    named = {image for job in found for image in successors.pictures_of(job)}
    kept = queries.get_images(session, named)
    ready: list[tuple[Job, int]] = []
    for job in found:
        try:
            successor = successors.successor(job)
            ready.append((successor, successors.work_of(successor, kept)))
        except (AtelierError, ValueError):  # params, too, may be of a time when they were judged otherwise
            continue
    images.use(session, {image for job, _ in ready for image in successors.pictures_of(job)})
    limits: dict[str, quotas.Quota] = {}
    queued = 0
    for job, work in sorted(ready, key=lambda pair: pair[0].owner):
        quota = limits.get(job.owner) or limits.setdefault(job.owner, _quota(session, operation, job.owner))
        try:
            quotas.charge(session, quota, work=work)
        except QuotaExceeded:
            continue
        transitions.create(session, job)
        queued += 1
    return len(found) - queued


def _quota(session: Session, operation: Operation, owner: str) -> quotas.Quota:
    """Find what may wait and be asked for: what the key of a client may, or else what any key of the owner may."""
    return (
        quotas.get_key_quota(session, operation.key_id) if operation.owner else quotas.get_owner_quota(session, owner)
    )
