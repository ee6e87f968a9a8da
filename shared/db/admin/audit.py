"""The audit log: who did what, to what, how often and why; submitting apart, which the jobs themselves tell.

An entry is written in the transaction that does it: there is no deed without one, and none of a deed that was not done.
Entries are only ever added, and forgotten after `KEPT_S`.

Invariant: ids sort by time, so that a page starts where the one before ended, and moments are bounds of ids.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from shared import clock, ids
from shared.db.models import AuditEntry

#: How long entries are kept, in seconds: more than a year.
KEPT_S = 400 * 86_400.0


class Actor(Protocol):
    """Who does something, by a key."""

    @property
    def key_id(self) -> str:
        """The public part of the key."""

    @property
    def key_name(self) -> str:
        """What the key is called."""


class Host(NamedTuple):
    """Whoever works on the server's own machine, without a key."""

    key_id: str = "-"
    key_name: str = "the server's own machine"


class Filter(NamedTuple):
    """Which entries to list; None is any. Moments count to the millisecond."""

    key_id: str | None = None
    action: str | None = None
    after: datetime | None = None
    before: datetime | None = None


def record(
    session: Session,
    actor: Actor,
    action: str,
    subject: str | None = None,
    *,
    count: int = 1,
    reason: str | None = None,
    details: dict[str, Any] | None = None,
) -> None:
    """Write that `actor` does `action`, such as `job.cancel`, to `count` of what `subject` names."""
    entry = AuditEntry(id=ids.new_id(), at=clock.now(), key_id=actor.key_id, key_name=actor.key_name, action=action)
    entry.subject, entry.count, entry.reason, entry.details = subject, count, reason, details or {}
    session.add(entry)
    session.flush()


def list_entries(session: Session, wanted: Filter, *, before: str | None = None, limit: int) -> list[AuditEntry]:
    """Return up to `limit` entries, newest first, those further back than the id `before`."""
    query = select(AuditEntry).order_by(AuditEntry.id.desc()).limit(limit)
    if wanted.key_id is not None:
        query = query.where(AuditEntry.key_id == wanted.key_id)
    if wanted.action is not None:
        query = query.where(AuditEntry.action == wanted.action)
    if wanted.after is not None:
        query = query.where(AuditEntry.id >= ids.first_at(wanted.after))
    if wanted.before is not None:
        query = query.where(AuditEntry.id < ids.first_at(wanted.before))
    if before is not None:
        query = query.where(AuditEntry.id < before)
    return list(session.scalars(query))


def forget(session: Session, limit: int) -> int:
    """Delete up to `limit` entries that have been kept long enough; return how many."""
    old = select(AuditEntry.id).where(AuditEntry.id < ids.first_at(clock.now() - timedelta(seconds=KEPT_S)))
    found = list(session.scalars(old.order_by(AuditEntry.id).limit(limit).with_for_update(skip_locked=True)))
    if found:
        session.execute(delete(AuditEntry).where(AuditEntry.id.in_(found)))
    return len(found)
