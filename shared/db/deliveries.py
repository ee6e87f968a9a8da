"""The webhook outbox: deliveries, written in the transaction of the event they are about.

A delivery is claimed by postponing its next attempt beyond the longest one possible, so a sender that dies leaves it
due again. A result is written only if the number of attempts is still that of the claim.

Invariant: an event whose transaction committed is delivered at least once, or its delivery ends as failed.
"""

from collections import Counter
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from sqlalchemy import ColumnElement, func, insert, literal, not_, or_, select, update
from sqlalchemy.orm import Session

from shared import clock, ids
from shared.db import sql_clock
from shared.db.lookups import delete_some, equal, insert_if_absent, list_newest, visible
from shared.db.models import Delivery, Job, WebhookSecret
from shared.states import DeliveryState, State
from shared.webhooks import signing

#: Delays after each failed attempt, in seconds; three days in total.
RETRY_DELAYS_S = (5, 30, 120, 600, 1800, 3600, 7200, 14_400, 28_800, 43_200, 43_200, 43_200, 72_000)
#: Longer than any attempt takes, in seconds.
_CLAIM_S = 60.0
#: How long the previous secret also signs after a rotation, and how long ended deliveries are kept, in seconds.
_ROTATION_S = 24 * 3600.0
_KEPT_S = 30 * 86_400.0
#: Due deliveries read at once when looking for hosts with free slots.
_LOOK_AHEAD = 200


class ClaimedDelivery(NamedTuple):
    """A delivery to be attempted now; `attempt` is the fencing token of its result."""

    id: str
    owner: str
    url: str
    event: str
    subject_id: str | None
    attempt: int


class SigningSecrets(NamedTuple):
    """The secrets that sign an owner's webhooks."""

    secret: str
    previous: str | None
    previous_until: datetime | None
    created_at: datetime


def add_for_job(session: Session, job_id: str, state: State) -> None:
    """Add the delivery for the end of a job, if it has a webhook."""
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
    values: dict[str, Any] = {"owner": owner, "url": url, "event": event, "subject_id": subject_id, "log": []}
    times = {"next_at": sql_clock.now(), "created_at": sql_clock.now()}
    made = Delivery(id=ids.new_id(), state=DeliveryState.PENDING, attempts=0, **values, **times)
    session.add(made)
    session.flush()
    session.refresh(made)
    return made


def claim_due(
    session: Session, limit: int, *, full_hosts: Collection[str] = (), per_host: int
) -> list[ClaimedDelivery]:
    """Claim up to `limit` due deliveries, the longest due first, at most `per_host` per host and none to full hosts."""
    found = _choose(session, limit, Counter(dict.fromkeys(full_hosts, per_host)), per_host)
    taken = (
        update(Delivery)
        .where(Delivery.id.in_(found), Delivery.state == DeliveryState.PENDING)
        .values(attempts=Delivery.attempts + 1, next_at=sql_clock.now_plus(_CLAIM_S))
        .returning(Delivery.id, Delivery.owner, Delivery.url, Delivery.event, Delivery.subject_id, Delivery.attempts)
        .execution_options(synchronize_session=False)
    )
    return [ClaimedDelivery(*row) for row in session.execute(taken)] if found else []


def _choose(session: Session, limit: int, by_host: Counter[str], per_host: int) -> list[str]:
    """Lock deliveries and return their ids; the query excludes full hosts, so that a backlog of theirs is not read."""
    found: list[str] = []
    while len(found) < limit:
        full = [host for host, count in by_host.items() if count >= per_host]
        due = select(Delivery.id, Delivery.url).order_by(Delivery.next_at).limit(_LOOK_AHEAD)
        due = due.where(Delivery.state == DeliveryState.PENDING, Delivery.next_at <= sql_clock.now())
        due = due.where(Delivery.id.not_in(found), *(not_(_is_to(host)) for host in full))
        rows = session.execute(due.with_for_update(skip_locked=True)).all()
        before = len(found)
        for delivery_id, url in rows:
            host = host_of(url)
            if len(found) < limit and by_host[host] < per_host:
                by_host[host] += 1
                found.append(delivery_id)
        if len(rows) < _LOOK_AHEAD or len(found) == before:
            break
    return found


def _is_to(host: str) -> ColumnElement[bool]:
    """Return the condition that a delivery goes to a host: `host_of` in SQL."""
    url = func.lower(Delivery.url)
    starts = [f"{scheme}://{host}" for scheme in ("http", "https")]
    return or_(url.in_(starts), *(url.startswith(start + mark, autoescape=True) for start in starts for mark in "/?#"))


def host_of(url: str) -> str:
    """Return the host and port of a URL, in lower case."""
    return urlsplit(url).netloc.lower()


def record_attempt(
    session: Session, claimed: ClaimedDelivery, entry: dict[str, Any], *, delivered: bool, retry_in_s: float | None
) -> None:
    """Record an attempt; without `retry_in_s` a failure is final. Does nothing if the delivery was claimed again."""
    query = select(Delivery).where(Delivery.id == claimed.id, Delivery.attempts == claimed.attempt).with_for_update()
    found = session.scalars(query).one_or_none()
    if found is None or found.state != DeliveryState.PENDING:
        return
    values: dict[str, Any] = {"log": [*found.log, entry]}
    if delivered or retry_in_s is None:
        state = DeliveryState.DELIVERED if delivered else DeliveryState.FAILED
        values |= {"state": state, "next_at": None, "ended_at": clock.now()}
    else:
        values |= {"next_at": sql_clock.now_plus(retry_in_s)}
    session.execute(update(Delivery).where(Delivery.id == claimed.id).values(**values))


def get_delivery(session: Session, delivery_id: str, *, owner: str | None = None) -> Delivery:
    """Return a delivery, `owner`'s if given; raise `NotFound`."""
    return visible(session.get(Delivery, delivery_id), f"delivery {delivery_id}", owner)


def list_deliveries(
    session: Session, *, owner: str | None, state: DeliveryState | None, before: str | None, limit: int
) -> list[Delivery]:
    """Return up to `limit` deliveries, newest first, with ids below `before`."""
    where = equal({Delivery.owner: owner, Delivery.state: state})
    return list_newest(session, Delivery, *where, before=before, limit=limit)


def get_secrets(session: Session, owner: str) -> SigningSecrets:
    """Return an owner's signing secrets, generating one if there is none yet."""
    found = session.get(WebhookSecret, owner)
    if found is None:
        insert_if_absent(session, WebhookSecret, owner=owner, secret=signing.new_secret(), created_at=clock.now())
        found = session.scalars(select(WebhookSecret).where(WebhookSecret.owner == owner)).one()
    signs = found.previous_until is not None and found.previous_until > clock.now()
    former = (found.previous_secret, found.previous_until) if signs else (None, None)
    return SigningSecrets(found.secret, *former, found.created_at)


def rotate_secret(session: Session, owner: str) -> SigningSecrets:
    """Generate a new secret; for a day the previous one also signs."""
    get_secrets(session, owner)
    locked = select(WebhookSecret.secret).where(WebhookSecret.owner == owner).with_for_update()
    now = session.scalars(locked).one()  # locked, so that a concurrent rotation is not lost
    values = {"secret": signing.new_secret(), "previous_secret": now, "created_at": clock.now()}
    until = clock.now() + timedelta(seconds=_ROTATION_S)
    session.execute(update(WebhookSecret).where(WebhookSecret.owner == owner).values(**values, previous_until=until))
    session.expire_all()
    return get_secrets(session, owner)


def forget(session: Session, limit: int) -> int:
    """Delete up to `limit` ended deliveries that are old; return how many."""
    is_old = Delivery.created_at <= clock.now() - timedelta(seconds=_KEPT_S)
    return len(delete_some(session, Delivery.id, is_old, Delivery.state != DeliveryState.PENDING, limit=limit))


def count_pending(session: Session) -> int:
    """Count the pending deliveries."""
    query = select(func.count()).select_from(Delivery).where(Delivery.state == DeliveryState.PENDING)
    return session.scalar(query) or 0
