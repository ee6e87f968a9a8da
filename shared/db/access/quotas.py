"""Quotas: waiting jobs and work per day, checked and charged in the transaction that inserts the jobs.

Invariant: concurrent requests of one owner are serialized by locks on the owner's keys, so they cannot together exceed
a quota.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared import clock
from shared.db.models import ApiKey, Job, Usage
from shared.errors import QuotaExceeded
from shared.states import State

#: Suggested wait of a client with too many waiting jobs, in seconds; an estimate.
_RETRY_AFTER_S = 30


class Quota(NamedTuple):
    """The limits of a key; None means no limit."""

    key_id: str
    owner: str
    max_waiting: int | None
    max_work_per_day: float | None


#: For what nobody is charged.
UNLIMITED = Quota("", "", None, None)


def charge(session: Session, quota: Quota, *, work: float, count: int = 1) -> None:
    """Charge `count` jobs with a total `work` in px·steps; raise `QuotaExceeded`."""
    if quota.max_waiting is None and quota.max_work_per_day is None:
        return
    keys_of_owner = select(ApiKey.id).where(ApiKey.owner == quota.owner)
    session.execute(keys_of_owner.order_by(ApiKey.id).with_for_update())
    if quota.max_waiting is not None:
        _check_waiting(session, quota.owner, quota.max_waiting, count)
    if quota.max_work_per_day is not None:
        _charge_work(session, quota.key_id, quota.max_work_per_day, work)


def waiting_room(session: Session, quota: Quota, most: int) -> int:
    """Return how many of `most` jobs the quota of waiting jobs has room for now."""
    if quota.max_waiting is None:
        return most
    return min(most, max(0, quota.max_waiting - _count_waiting(session, quota.owner, quota.max_waiting)))


def get_key_quota(session: Session, key_id: str) -> Quota:
    """Return the quota of an existing key."""
    key = session.get_one(ApiKey, key_id)
    return Quota(key.id, key.owner, key.max_waiting, key.max_work_per_day)


def get_owner_quota(session: Session, owner: str) -> Quota:
    """Return the largest quota of waiting jobs among an owner's keys, for jobs that an operator adds for the owner.

    Work per day is not limited, since it is counted per key.
    """
    limits = list(session.scalars(select(ApiKey.max_waiting).where(ApiKey.owner == owner, ApiKey.revoked_at.is_(None))))
    known = [limit for limit in limits if limit is not None]
    return Quota("", owner, max(known) if known and len(known) == len(limits) else None, None)


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
