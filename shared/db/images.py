"""Every write to an image's row: kept when it is uploaded, marked when a job is asked for with it.

Invariant: an image whose row says nothing of its bytes being gone was used, within `FRESH_S`, at the moment when any
job that needs it was submitted; so what nobody has used since the oldest unended job is needed by none.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from sqlalchemy import Insert, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared import clock
from shared.db.models import Image, ImageOwner
from shared.errors import UnknownImage

#: A use is noted once in this time, in seconds, so that jobs of one style do not queue for its row.
FRESH_S = 3600.0


def keep(session: Session, image: Image, owner: str) -> tuple[Image, bool]:
    """Note an upload whose bytes are stored; return the image's row, and whether it is new to that owner."""
    if not _added(session, insert(Image).values(_columns(image))):
        session.execute(update(Image).where(Image.id == image.id).values(last_used_at=clock.now(), gone_at=None))
    is_new = _added(session, insert(ImageOwner).values(image_id=image.id, owner=owner, created_at=clock.now()))
    return session.scalars(select(Image).where(Image.id == image.id)).one(), is_new


def use(session: Session, image_ids: Collection[str]) -> None:
    """Note that a job is asked for with the images, in the transaction that makes it; raise `UnknownImage`.

    Each is then there as long as the job has not ended.
    """
    now = clock.now()
    query = select(Image.id, Image.last_used_at).where(Image.id.in_(image_ids), Image.gone_at.is_(None))
    used_at = {row.id: row.last_used_at for row in session.execute(query)}
    kept = set(used_at)
    stale = [image_id for image_id, moment in used_at.items() if moment <= now - timedelta(seconds=FRESH_S)]
    for image_id in sorted(stale):  # in one order, so that two of these never wait for each other
        noted = update(Image).where(Image.id == image_id, Image.gone_at.is_(None)).values(last_used_at=now)
        if session.scalar(noted.returning(Image.id)) is None:
            kept.discard(image_id)
    gone = sorted(set(image_ids) - kept)
    if gone:
        raise UnknownImage(f"No image {gone[0]} has been uploaded.", images=gone)


def _added(session: Session, statement: Insert) -> bool:
    """Insert a row unless there is one of its key; say whether it was added."""
    try:
        with session.begin_nested():
            session.execute(statement)
    except IntegrityError:
        return False
    return True


def _columns(image: Image) -> dict[str, object]:
    return {column.name: getattr(image, column.name) for column in Image.__table__.columns}
