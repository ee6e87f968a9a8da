"""Every write to an image's row: kept when it is uploaded, used when a job is asked for with it, given up when unused.

Moments are the database's. That of a job's submission is its API's, a part of `FRESH_S` ahead or behind at most.

Invariant: an image whose row says nothing of its bytes being gone was used, within `FRESH_S`, at the moment when any
job that needs it was submitted; so what nobody has used since the oldest unended job is needed by none.

Invariant: such a row has its bytes. Whoever keeps an image, or removes its bytes, is alone with it until the commit:
bytes go only while their row is gone, and a row is kept only once its bytes are seen to be there.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import delete, func, insert, select, union_all, update
from sqlalchemy.orm import Session

from shared.db import sql_clock
from shared.db.models import Image, ImageOwner, Job
from shared.errors import UnknownImage
from shared.states import State

#: A use is noted once in this time, in seconds, so that jobs of one style do not queue for its row.
FRESH_S = 3600.0
#: What an image must have been left alone for: no transaction that still sees it as fresh is that long.
_LEAST_KEPT_S = 2 * FRESH_S
#: How long before a job an image was last used that it does not need: a use counts for `FRESH_S`, and clocks differ.
_MARGIN = timedelta(seconds=2 * FRESH_S)
#: Images given up in one transaction.
_AT_ONCE = 200
#: Rows deleted in one: for each the database reads all jobs, half a second to one with a million, and SQLite's other
#: writers wait for it.
_ROWS_AT_ONCE = 1


def kept_s(retention_s: float) -> float:
    """Return how long an unused image is kept, in seconds."""
    return max(retention_s, _LEAST_KEPT_S)


def keep(session: Session, image: Image, owner: str) -> tuple[Image, bool]:
    """Note an upload; return the image's row, and whether it is new to that owner.

    Until the transaction ends nobody removes the image's bytes: whether they are there is to be seen before the commit.
    """
    _be_alone_with(session, image.id)
    again = update(Image).where(Image.id == image.id).values(last_used_at=sql_clock.now(), gone_at=None)
    if session.scalar(again.returning(Image.id)) is None:
        session.execute(insert(Image).values(_columns(image) | {"last_used_at": sql_clock.now()}))
    is_new = session.get(ImageOwner, (image.id, owner)) is None
    if is_new:
        session.execute(insert(ImageOwner).values(image_id=image.id, owner=owner, created_at=sql_clock.now()))
    return session.scalars(select(Image).where(Image.id == image.id)).one(), is_new


def use(session: Session, image_ids: Collection[str]) -> None:
    """Note that a job is asked for with the images, in the transaction that makes it; raise `UnknownImage`.

    Each is then there as long as the job has not ended.
    """
    is_fresh = Image.last_used_at > sql_clock.now_plus(-FRESH_S)
    found = session.execute(select(Image.id, is_fresh).where(Image.id.in_(image_ids), Image.gone_at.is_(None)))
    kept = {image_id: bool(fresh) for image_id, fresh in found}
    for image_id in sorted(kept):  # in one order, so that two of these never wait for each other
        if not kept[image_id]:
            noted = update(Image).where(Image.id == image_id, Image.gone_at.is_(None))
            if session.scalar(noted.values(last_used_at=sql_clock.now()).returning(Image.id)) is None:
                del kept[image_id]
    gone = sorted(set(image_ids) - set(kept))
    if gone:
        raise UnknownImage(f"No image {gone[0]} has been uploaded.", images=gone)


def expire(session: Session, *, retention_s: float) -> list[str]:
    """Give up images that nobody has used for that long and no unended job needs; return whose bytes are to go.

    A submission under way has used what it needs within its transaction: either so lately that the image is kept for
    that alone, or in a write that this one waits for, or loses to.
    """
    unused = [Image.gone_at.is_(None), Image.last_used_at <= sql_clock.now_plus(-kept_s(retention_s))]
    oldest = _oldest_unended(session)
    if oldest is not None:
        unused.append(Image.last_used_at < oldest - _MARGIN)
    found = list(session.scalars(select(Image.id).where(*unused).limit(_AT_ONCE).with_for_update(skip_locked=True)))
    given_up = update(Image).where(Image.id.in_(found), *unused).values(gone_at=sql_clock.now()).returning(Image.id)
    gone = list(session.scalars(given_up.execution_options(synchronize_session=False))) if found else []
    if gone:
        session.execute(delete(ImageOwner).where(ImageOwner.image_id.in_(gone)))
    return gone


def may_lose_bytes(session: Session, image_id: str) -> bool:
    """Say whether an image's bytes may be removed in this transaction; no upload keeps the image before it ends."""
    _be_alone_with(session, image_id)
    return session.scalar(select(Image.id).where(Image.id == image_id, Image.gone_at.is_(None))) is None


def forget(session: Session, *, history_s: float) -> list[str]:
    """Delete rows of images that have been gone that long, and since before the oldest job: none names them."""
    gone = [Image.gone_at <= sql_clock.now_plus(-history_s)]
    oldest = session.scalar(select(Job.created_at).order_by(Job.sort_id).limit(1))
    if oldest is not None:
        gone.append(Image.gone_at < oldest - _MARGIN)
    found = list(session.scalars(select(Image.id).where(*gone).limit(_ROWS_AT_ONCE).with_for_update(skip_locked=True)))
    if found:
        session.execute(delete(Image).where(Image.id.in_(found)))
    return found


def _oldest_unended(session: Session) -> datetime | None:
    """Find when the oldest job was submitted that has not ended.

    In one statement: between two of them a job might go from the state not yet read to the one read already.
    """
    firsts = [
        select(Job.created_at).where(Job.state == state).order_by(Job.sort_id).limit(1).subquery()
        for state in (State.QUEUED, State.RUNNING)
    ]
    either = union_all(*(select(first.c.created_at) for first in firsts)).subquery()
    moment: datetime | None = session.scalar(select(func.min(either.c.created_at)))
    return moment


def _be_alone_with(session: Session, image_id: str) -> None:
    """Have all others who keep the image or remove its bytes wait for this transaction, be there a row of it or not."""
    if session.get_bind().dialect.name == "postgresql":  # SQLite has one writer at a time
        session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(image_id, 0))))


def _columns(image: Image) -> dict[str, object]:
    return {column.name: getattr(image, column.name) for column in Image.__table__.columns}
