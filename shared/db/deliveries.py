"""The outbox: events to be told to webhooks, written in the transaction that made them happen.

A delivery is claimed by moving its next try behind the longest attempt there can be: who dies over it leaves it due
again. Each result is written on the condition that the number of attempts is still that of the claim.

Invariant: an event whose transaction committed is told at least once, or its delivery says why not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from datetime import timedelta
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from sqlalchemy import ColumnElement, delete, func, insert, literal, not_, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared import clock, ids
from shared.db import sql_clock
from shared.db.models import Delivery, Job, WebhookSecret
from shared.errors import NotFound
from shared.states import DeliveryState, State
from shared.webhooks import signing

#: Waits before the next try after each failure, in seconds: three days in all.
SCHEDULE_S = (5, 30, 120, 600, 1800, 3600, 7200, 14_400, 28_800, 43_200, 43_200, 43_200, 72_000)
_RESULT = ("width", "height", "bytes", "format", "partial")
#: Longer than an attempt can take, in seconds.
_CLAIM_S = 60.0
#: How long the secret before still signs after a rotation, and how long ended deliveries are kept, in seconds.
_SIGNS_ALONG_S = 24 * 3600.0
_KEPT_S = 30 * 86_400.0
#: How many due deliveries are looked at in one go for those whose hosts are free.
_LOOK_AHEAD = 200


class Claimed(NamedTuple):
    """A delivery to be tried now; `attempt` is the token that its result repeats."""

    id: str
    owner: str
    url: str
    event: str
    subject_id: str | None
    attempt: int


class Secrets(NamedTuple):
    """What an owner's calls are signed with now."""

    secret: str
    previous: str | None
    previous_until: Any
    created_at: Any


def add_for_job(session: Session, job_id: str, state: State) -> None:
    """Add the delivery of a job's end, if it has a webhook."""
    columns = ("id", "owner", "url", "event", "subject_id", "state", "attempts", "next_at", "created_at", "log")
    values = (
        literal(ids.new_id()), Job.owner, Job.webhook, literal(f"job.{state}"), Job.id,
        literal(str(DeliveryState.PENDING)), literal(0), sql_clock.now(), sql_clock.now(),
        literal([], Delivery.__table__.c.log.type),
    )  # fmt: skip
    found = select(*values).where(Job.id == job_id, Job.webhook.is_not(None))
    session.execute(insert(Delivery).from_select(columns, found, include_defaults=False))


def add(session: Session, owner: str, url: str, event: str, subject_id: str | None = None) -> Delivery:
    """Add a delivery that is due now."""
    values = {"owner": owner, "url": url, "event": event, "subject_id": subject_id}
    delivery_id = ids.new_id()
    moment = {"next_at": sql_clock.now(), "created_at": sql_clock.now()}
    session.execute(
        insert(Delivery).values(id=delivery_id, state=DeliveryState.PENDING, attempts=0, log=[], **values, **moment)
    )
    return session.scalars(select(Delivery).where(Delivery.id == delivery_id)).one()


def claim_due(session: Session, limit: int, *, full_hosts: Collection[str] = (), per_host: int) -> list[Claimed]:
    """Take up to `limit` due deliveries, the longest due first: none to a full host, at most `per_host` to another."""
    found = _choose(session, limit, Counter(dict.fromkeys(full_hosts, per_host)), per_host)
    taken = (
        update(Delivery)
        .where(Delivery.id.in_(found), Delivery.state == DeliveryState.PENDING)
        .values(attempts=Delivery.attempts + 1, next_at=sql_clock.now_plus(_CLAIM_S))
        .returning(Delivery.id, Delivery.owner, Delivery.url, Delivery.event, Delivery.subject_id, Delivery.attempts)
        .execution_options(synchronize_session=False)
    )
    return [Claimed(*row) for row in session.execute(taken)] if found else []


def _choose(session: Session, limit: int, taken_of: Counter[str], per_host: int) -> list[str]:
    """Lock and return the ids to take; hosts that are full are left out by the query, however much waits for them."""
    found: list[str] = []
    while len(found) < limit:
        full = [host for host, count in taken_of.items() if count >= per_host]
        due = select(Delivery.id, Delivery.url).order_by(Delivery.next_at).limit(_LOOK_AHEAD)
        due = due.where(Delivery.state == DeliveryState.PENDING, Delivery.next_at <= sql_clock.now())
        due = due.where(Delivery.id.not_in(found), *(not_(_is_to(host)) for host in full))
        rows = session.execute(due.with_for_update(skip_locked=True)).all()
        before = len(found)
        for delivery_id, url in rows:
            host = host_of(url)
            if len(found) < limit and taken_of[host] < per_host:
                taken_of[host] += 1
                found.append(delivery_id)
        if len(rows) < _LOOK_AHEAD or len(found) == before:
            break
    return found


def _is_to(host: str) -> ColumnElement[bool]:
    """Write that a delivery is to a host, in SQL what `host_of` is in Python."""
    url = func.lower(Delivery.url)
    starts = [f"{scheme}://{host}" for scheme in ("http", "https")]
    return or_(url.in_(starts), *(url.startswith(start + mark, autoescape=True) for start in starts for mark in "/?#"))


def host_of(url: str) -> str:
    """Return what a delivery's host is counted by."""
    return urlsplit(url).netloc.lower()


def record_attempt(
    session: Session, held: Claimed, entry: dict[str, Any], *, delivered: bool, retry_in_s: float | None
) -> None:
    """Write how an attempt went; without `retry_in_s` a failure is the last. One that was claimed again is let be."""
    query = select(Delivery).where(Delivery.id == held.id, Delivery.attempts == held.attempt).with_for_update()
    found = session.scalars(query).one_or_none()
    if found is None or found.state != DeliveryState.PENDING:
        return
    values: dict[str, Any] = {"log": [*found.log, entry]}
    if delivered or retry_in_s is None:
        state = DeliveryState.DELIVERED if delivered else DeliveryState.FAILED
        values |= {"state": state, "next_at": None, "ended_at": clock.now()}
    else:
        values |= {"next_at": sql_clock.now_plus(retry_in_s)}
    session.execute(update(Delivery).where(Delivery.id == held.id).values(**values))


def get_delivery(session: Session, delivery_id: str, *, owner: str | None = None) -> Delivery:
    """Return a delivery, of that owner unless it is None; raise `NotFound`."""
    found = session.get(Delivery, delivery_id)
    if found is None or owner not in (None, found.owner):
        raise NotFound(f"There is no delivery {delivery_id}.")
    return found


def list_deliveries(
    session: Session, *, owner: str | None, state: DeliveryState | None, before: str | None, limit: int
) -> list[Delivery]:
    """Return up to `limit` deliveries, newest first, those older than the id `before`."""
    query = select(Delivery).order_by(Delivery.id.desc()).limit(limit)
    if owner is not None:
        query = query.where(Delivery.owner == owner)
    if state is not None:
        query = query.where(Delivery.state == state)
    if before is not None:
        query = query.where(Delivery.id < before)
    return list(session.scalars(query))


def get_secrets(session: Session, owner: str) -> Secrets:
    """Return what an owner's calls are signed with, made if there is nothing yet."""
    found = session.get(WebhookSecret, owner)
    if found is None:
        try:
            with session.begin_nested():
                made = {"secret": signing.new_secret(), "created_at": clock.now()}
                session.execute(insert(WebhookSecret).values(owner=owner, **made))
        except IntegrityError:  # another was first
            pass
        found = session.scalars(select(WebhookSecret).where(WebhookSecret.owner == owner)).one()
    signs = found.previous_until is not None and found.previous_until > clock.now()
    former = (found.previous_secret, found.previous_until) if signs else (None, None)
    return Secrets(found.secret, *former, found.created_at)


def rotate_secret(session: Session, owner: str) -> Secrets:
    """Sign with a new secret, and for a day with the one before too."""
    get_secrets(session, owner)
    locked = select(WebhookSecret.secret).where(WebhookSecret.owner == owner).with_for_update()
    now = session.scalars(locked).one()  # read once nobody else rotates, so that no secret told to anyone is skipped
    values = {"secret": signing.new_secret(), "previous_secret": now, "created_at": clock.now()}
    until = clock.now() + timedelta(seconds=_SIGNS_ALONG_S)
    session.execute(update(WebhookSecret).where(WebhookSecret.owner == owner).values(**values, previous_until=until))
    session.expire_all()
    return get_secrets(session, owner)


def forget(session: Session, limit: int) -> int:
    """Delete up to `limit` deliveries that were made long ago and have ended; return how many."""
    old = select(Delivery.id).where(Delivery.created_at <= clock.now() - timedelta(seconds=_KEPT_S))
    found = list(session.scalars(old.where(Delivery.state != DeliveryState.PENDING).limit(limit)))
    if found:
        session.execute(delete(Delivery).where(Delivery.id.in_(found)))
    return len(found)


def count_pending(session: Session) -> int:
    """Count the deliveries still to be made."""
    query = select(func.count()).select_from(Delivery).where(Delivery.state == DeliveryState.PENDING)
    return session.scalar(query) or 0
