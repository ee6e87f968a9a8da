"""Quotas: waiting jobs, work per day and stored bytes, checked in the transaction that inserts jobs or images.

What owners store is counted by `shared.db.stored_bytes`. Jobs that run may exceed that quota by their results; new ones
are refused from then on.

Invariant: concurrent requests of one owner are serialized by locks on the owner's keys, so they cannot together exceed
a quota.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared import clock
from shared.db import stored_bytes
from shared.db.models import ApiKey, Job, Usage
from shared.errors import QuotaExceeded
from shared.states import State

#: Suggested wait of a client with too many waiting jobs, in seconds; an estimate.
_RETRY_AFTER_S = 30
#: The same of one whose owner stores too much, until something expires or is deleted.
_RETRY_STORING_AFTER_S = 3_600


class Quota(NamedTuple):
    """The limits of a key; None means no limit."""

    key_id: str
    owner: str
    max_waiting: int | None
    max_work_per_day: float | None
    max_stored_bytes: int | None = None


#: For what nobody is charged.
UNLIMITED = Quota("", "", None, None)


def charge(session: Session, quota: Quota, *, work: float, count: int = 1) -> None:
    """Charge `count` jobs with a total `work` in px·steps; raise `QuotaExceeded`."""
    if quota[2:] == UNLIMITED[2:]:
        return
    _lock_keys(session, quota.owner)
    if quota.max_stored_bytes is not None:
        _check_room(session, quota.owner, quota.max_stored_bytes)
    if quota.max_waiting is not None:
        _check_waiting(session, quota.owner, quota.max_waiting, count)
    if quota.max_work_per_day is not None:
        _charge_work(session, quota.key_id, quota.max_work_per_day, work)


def check_stored(session: Session, quota: Quota, *, new_bytes: int) -> None:
    """Raise `QuotaExceeded` if `new_bytes`, recorded in this transaction, are more than the owner may store."""
    if quota.max_stored_bytes is None or not new_bytes:
        return
    _lock_keys(session, quota.owner)
    stored = stored_bytes.total(session, quota.owner)
    if stored > quota.max_stored_bytes:
        raise _stores_too_much(quota.max_stored_bytes, stored - new_bytes, f"{new_bytes} bytes more would exceed")


def waiting_room(session: Session, quota: Quota, most: int) -> int:
    """Return how many of `most` jobs the quota of waiting jobs has room for now."""
    if quota.max_waiting is None:
        return most
    return min(most, max(0, quota.max_waiting - _count_waiting(session, quota.owner, quota.max_waiting)))


def get_key_quota(session: Session, key_id: str, *, stored: int | None) -> Quota:
    """Return the quota of an existing key; `stored` is for one without a limit of stored bytes of its own."""
    key = session.get_one(ApiKey, key_id)
    return Quota(key.id, key.owner, key.max_waiting, key.max_work_per_day, key.max_stored_bytes or stored)


def get_owner_quota(session: Session, owner: str, *, stored: int | None) -> Quota:
    """Return the largest quotas among an owner's keys, for jobs that an operator adds for the owner.

    `stored` is for keys without a limit of stored bytes of their own, and for an owner without keys. Work per day is
    not limited, since it is counted per key.
    """
    limits = select(ApiKey.max_waiting, ApiKey.max_stored_bytes)
    keys = session.execute(limits.where(ApiKey.owner == owner, ApiKey.revoked_at.is_(None))).all()
    may_store = [key.max_stored_bytes or stored for key in keys] or [stored]
    return Quota("", owner, _largest([key.max_waiting for key in keys]), None, _largest(may_store))


def _largest(limits: Sequence[int | None]) -> int | None:
    """Return the largest limit; None, which is no limit, if there is none or one of them is None."""
    known = [limit for limit in limits if limit is not None]
    return max(known) if known and len(known) == len(limits) else None


def _lock_keys(session: Session, owner: str) -> None:
    session.execute(select(ApiKey.id).where(ApiKey.owner == owner).order_by(ApiKey.id).with_for_update())


def _check_room(session: Session, owner: str, most: int) -> None:
    stored = stored_bytes.total(session, owner)
    if stored >= most:
        raise _stores_too_much(most, stored, "Nothing can be painted at")


def _stores_too_much(most: int, used: int, why: str) -> QuotaExceeded:
    detail = f"{why} the limit of {most} stored bytes; {used} are used."
    return QuotaExceeded(detail, limit=most, used=used, unit="bytes", retry_after_s=_RETRY_STORING_AFTER_S)


def _check_waiting(session: Session, owner: str, most: int, count: int) -> None:
    waiting = _count_waiting(session, owner, most)
    if waiting + count > most:
        detail = f"{waiting} jobs are waiting already, and the limit is {most}."
        raise QuotaExceeded(detail, limit=most, used=waiting, unit="jobs", retry_after_s=_RETRY_AFTER_S)


def _count_waiting(session: Session, owner: str, most: int) -> int:
    queued = select(Job.id).where(Job.owner == owner, Job.state == State.QUEUED).limit(most + 1).subquery()
    return session.scalar(select(func.count()).select_from(queued)) or 0


def _charge_work(session: Session, key_id: str, most: float, work: float) -> None:
    now = clock.now()
    today = session.get(Usage, (key_id, now.date().isoformat()))
    used = today.work if today else 0.0
    if used + work > most:
        detail = f"{work:.4g} px·steps more would exceed the limit of {most:.4g} a day; {used:.4g} are used."
        after_s = _seconds_to_midnight(now)
        raise QuotaExceeded(detail, limit=most, used=used, unit="px·steps", retry_after_s=after_s)
    if today:
        today.work = used + work
    else:
        session.add(Usage(key_id=key_id, day=now.date().isoformat(), work=work))
    session.flush()


def _seconds_to_midnight(now: datetime) -> int:
    tomorrow = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return int((tomorrow - now).total_seconds()) + 1
