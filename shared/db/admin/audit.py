"""The audit log: who did what, to what and why. Submissions are not logged, as the jobs themselves record them.

An entry is written in the transaction of the action, so that an action and its entry are committed together. Entries
are never changed, and are deleted after `KEPT_S`.

Invariant: ids sort by time, so time bounds are id bounds.
"""

from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

from sqlalchemy.orm import Session

from shared import clock, ids
from shared.db.lookups import delete_some, equal, list_newest
from shared.db.models import AuditEntry

#: How long entries are kept, in seconds: more than a year.
KEPT_S = 400 * 86_400.0


class Actor(Protocol):
    """Whoever acts with an API key."""

    @property
    def key_id(self) -> str:
        """The id of the key."""

    @property
    def key_name(self) -> str:
        """The name of the key."""


class Host(NamedTuple):
    """Whoever acts on the server's machine itself, without a key."""

    key_id: str = "-"
    key_name: str = "the server's own machine"


class Filter(NamedTuple):
    """Which entries to list; None matches any. Times are compared by the millisecond."""

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
    """Record that `actor` applies `action`, such as `job.cancel`, to `count` things that `subject` names."""
    entry = AuditEntry(id=ids.new_id(), at=clock.now(), key_id=actor.key_id, key_name=actor.key_name, action=action)
    entry.subject, entry.count, entry.reason, entry.details = subject, count, reason, details or {}
    session.add(entry)
    session.flush()


def list_entries(session: Session, wanted: Filter, *, before: str | None = None, limit: int) -> list[AuditEntry]:
    """Return up to `limit` entries, newest first, with ids below `before`."""
    where = equal({AuditEntry.key_id: wanted.key_id, AuditEntry.action: wanted.action})
    if wanted.after is not None:
        where.append(AuditEntry.id >= ids.first_at(wanted.after))
    if wanted.before is not None:
        where.append(AuditEntry.id < ids.first_at(wanted.before))
    return list_newest(session, AuditEntry, *where, before=before, limit=limit)


def forget(session: Session, limit: int) -> int:
    """Delete up to `limit` entries older than `KEPT_S`; return how many."""
    is_old = AuditEntry.id < ids.first_at(clock.now() - timedelta(seconds=KEPT_S))
    return len(delete_some(session, AuditEntry.id, is_old, limit=limit))
