"""How many bytes owners store: their uploads, and the pictures of their ended jobs, until these expire or are deleted.

An image that several owners uploaded counts for each. Whoever records or removes bytes adds the change here, in the
same transaction; maintenance folds the changes of an owner into one. Nobody waits for another's transaction, since
rows are only inserted, and deleted only by folding.

Invariant: an owner's rows add up to what its images and the results of its jobs have.
"""

from collections.abc import Mapping

from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from shared.db.models import StoredBytes
from shared.painting.results import Result

#: An owner's changes are folded once there are more than so many: adding them up takes a fraction of a millisecond.
_MANY = 100
#: Owners whose changes are folded in one transaction, and how many changes of each.
_OWNERS_AT_ONCE, _ROWS_AT_ONCE = 50, 2_000


def add(session: Session, changes: Mapping[str, int]) -> None:
    """Record by how many bytes what owners store has changed; a removal is negative."""
    rows = [{"owner": owner, "size_bytes": size_bytes} for owner, size_bytes in changes.items() if size_bytes]
    if rows:
        session.execute(insert(StoredBytes), rows)


def total(session: Session, owner: str) -> int:
    """Return how many bytes an owner stores."""
    return int(session.scalar(select(func.sum(StoredBytes.size_bytes)).where(StoredBytes.owner == owner)) or 0)


def bytes_of(result: Result | None) -> int:
    """Return how many bytes a job's result counts for: those of its picture."""
    return result.get("bytes", 0) if result else 0


def fold(session: Session) -> None:
    """Replace many changes of an owner by their sum; any number of processes may."""
    many = select(StoredBytes.owner).group_by(StoredBytes.owner).having(func.count() > _MANY).limit(_OWNERS_AT_ONCE)
    for owner in session.scalars(many).all():
        free = select(StoredBytes.id).where(StoredBytes.owner == owner).limit(_ROWS_AT_ONCE)
        found = list(session.scalars(free.with_for_update(skip_locked=True)))
        folded = delete(StoredBytes).where(StoredBytes.id.in_(found)).returning(StoredBytes.size_bytes)
        sizes = session.scalars(folded.execution_options(synchronize_session=False))
        add(session, {owner: sum(sizes)})
