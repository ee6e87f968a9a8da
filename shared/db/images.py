"""Images: recording uploads and uses, and expiring what is unused.

Times are the database's, except that a job's `created_at` is the API's, whose clock may differ by less than `FRESH_S`.

Invariant: the last use of an image is never more than `FRESH_S` before the submission of a job that needs it. So an
image not used since well before the oldest unended job is needed by none.

Invariant: an image without `gone_at` has its bytes. Uploading it and removing its bytes both lock it until the commit;
bytes are removed only while `gone_at` is set, and an upload commits only once its bytes are known to be stored.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from sqlalchemy import delete, func, insert, select, union_all, update
from sqlalchemy.orm import Session

from shared.db import sql_clock, stored_bytes
from shared.db.lookups import delete_some
from shared.db.models import Image, ImageOwner, Job
from shared.errors import UnknownImage
from shared.states import State

#: A use is recorded once in this time, in seconds, so that jobs with the same style do not contend for its row.
FRESH_S = 3600.0
#: Minimum retention, in seconds: no transaction that has seen an image as fresh lasts that long.
_MIN_RETENTION_S = 2 * FRESH_S
#: An image last used this long before a job's submission is not needed by it; allows for `FRESH_S` and for clocks.
_MARGIN = timedelta(seconds=2 * FRESH_S)
#: Images expired in one transaction.
_CHUNK_SIZE = 200
#: Rows deleted in one transaction: for each, the database scans all jobs to check the foreign keys, 0.5 to 1 s per
#: million, while other writers of SQLite wait.
_DELETED_AT_ONCE = 1


def effective_retention_s(retention_s: float) -> float:
    """Return how long an unused image is kept at least, in seconds."""
    return max(retention_s, _MIN_RETENTION_S)


def list_present(session: Session, image_ids: Collection[str]) -> set[str]:
    """Return those of the ids whose images have their bytes."""
    return set(session.scalars(select(Image.id).where(Image.id.in_(image_ids), Image.gone_at.is_(None))))


def record_upload(session: Session, image: Image, owner: str) -> tuple[Image, bool]:
    """Record an upload; return the image's row and whether it is new to the owner.

    The image is locked against removal of its bytes; the caller checks that they are stored before it commits.
    """
    _lock(session, image.id)
    again = update(Image).where(Image.id == image.id).values(last_used_at=sql_clock.now(), gone_at=None)
    if session.scalar(again.returning(Image.id)) is None:
        values = {column.name: getattr(image, column.name) for column in Image.__table__.columns}
        session.execute(insert(Image).values(values | {"last_used_at": sql_clock.now()}))
    row = session.scalars(select(Image).where(Image.id == image.id)).one()
    is_new = session.get(ImageOwner, (image.id, owner)) is None
    if is_new:
        session.execute(insert(ImageOwner).values(image_id=image.id, owner=owner, created_at=sql_clock.now()))
        stored_bytes.add(session, {owner: row.size_bytes})
    return row, is_new


def uploaded_at(session: Session, image: Image, owner: str) -> datetime:
    """Return when an owner first uploaded an image, or anybody if this owner did not."""
    own = session.get(ImageOwner, (image.id, owner))
    return image.created_at if own is None else own.created_at


def record_use(session: Session, image_ids: Collection[str]) -> None:
    """Record that a job uses the images, in the transaction that inserts it; raise `UnknownImage`.

    The images are then kept until the job has ended.
    """
    is_fresh = Image.last_used_at > sql_clock.now_plus(-FRESH_S)
    found = session.execute(select(Image.id, is_fresh).where(Image.id.in_(image_ids), Image.gone_at.is_(None)))
    kept = {image_id: bool(fresh) for image_id, fresh in found}
    for image_id in sorted(kept):  # in one order, against deadlocks
        if not kept[image_id]:
            used = update(Image).where(Image.id == image_id, Image.gone_at.is_(None))
            if session.scalar(used.values(last_used_at=sql_clock.now()).returning(Image.id)) is None:
                del kept[image_id]
    gone = sorted(set(image_ids) - set(kept))
    if gone:
        raise UnknownImage(f"No image {gone[0]} has been uploaded.", images=gone)


def expire(session: Session, *, retention_s: float) -> list[str]:
    """Mark images as gone that were unused for `retention_s` and that no unended job needs; return which.

    A concurrent submission is safe: either the image was used recently enough to be kept, or both write its row, and
    whoever is second sees the other's change.
    """
    unused = [Image.gone_at.is_(None), Image.last_used_at <= sql_clock.now_plus(-effective_retention_s(retention_s))]
    oldest = _oldest_unended(session)
    if oldest is not None:
        unused.append(Image.last_used_at < oldest - _MARGIN)
    found = list(session.scalars(select(Image.id).where(*unused).limit(_CHUNK_SIZE).with_for_update(skip_locked=True)))
    expired = update(Image).where(Image.id.in_(found), *unused).values(gone_at=sql_clock.now())
    sized = expired.returning(Image.id, Image.size_bytes).execution_options(synchronize_session=False)
    gone = {image.id: image.size_bytes for image in session.execute(sized)} if found else {}
    if gone:
        _disown(session, gone)
    return list(gone)


def can_remove_bytes(session: Session, image_id: str) -> bool:
    """Return whether an image's bytes may be removed in this transaction; lock the image against uploads."""
    _lock(session, image_id)
    return session.scalar(select(Image.id).where(Image.id == image_id, Image.gone_at.is_(None))) is None


def forget(session: Session, *, history_s: float) -> list[str]:
    """Delete images gone for `history_s` and since before the oldest job, so no job refers to them; return which."""
    gone = [Image.gone_at <= sql_clock.now_plus(-history_s)]
    oldest = session.scalar(select(Job.created_at).order_by(Job.sort_id).limit(1))
    if oldest is not None:
        gone.append(Image.gone_at < oldest - _MARGIN)
    return delete_some(session, Image.id, *gone, limit=_DELETED_AT_ONCE)


def _disown(session: Session, size_of: Mapping[str, int]) -> None:
    """Take images, given with their sizes in bytes, from all their owners."""
    lost = delete(ImageOwner).where(ImageOwner.image_id.in_(size_of)).returning(ImageOwner.image_id, ImageOwner.owner)
    freed: Counter[str] = Counter()
    for image_id, owner in session.execute(lost.execution_options(synchronize_session=False)):
        freed[owner] -= size_of[image_id]
    stored_bytes.add(session, freed)


def _oldest_unended(session: Session) -> datetime | None:
    """Return when the oldest unended job was submitted.

    This is one statement, since between two a job could change from the state not yet read to the one already read.
    """
    firsts = [
        select(Job.created_at).where(Job.state == state).order_by(Job.sort_id).limit(1).subquery()
        for state in (State.QUEUED, State.RUNNING)
    ]
    either = union_all(*(select(first.c.created_at) for first in firsts)).subquery()
    oldest: datetime | None = session.scalar(select(func.min(either.c.created_at)))
    return oldest


def _lock(session: Session, image_id: str) -> None:
    """Lock an image until the transaction ends, whether or not it has a row."""
    if session.get_bind().dialect.name == "postgresql":  # SQLite has one writer at a time
        session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(image_id, 0))))
