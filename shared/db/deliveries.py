"""The webhook outbox: deliveries, written in the transaction of the event they are about.

A delivery is claimed by postponing its next attempt beyond the longest one possible, so a sender that dies leaves it
due again. A result is written only if the number of attempts is still that of the claim. Owners take turns: what one
of them has waiting is neither read nor called before what others have.

Invariant: an event whose transaction committed is delivered at least once, or its delivery ends as failed.
"""

from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from sqlalchemy import ColumnElement, Row, func, insert, literal, not_, or_, select, update
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
#: Due deliveries of an owner read at once when looking for hosts with free slots.
_LOOK_AHEAD = 32


class Slots(Protocol):
    """Who may make how many calls at once."""

    def held_by(self, owner: str) -> int:
        """Return how many slots an owner has."""

    def has_room(self, owner: str) -> bool:
        """Return whether an owner may have another slot."""

    def take(self, owner: str, host: str) -> bool:
        """Take a slot for an owner's call to a host; return False if there is none."""


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


def claim_due(session: Session, slots: Slots) -> list[ClaimedDelivery]:
    """Claim as many due deliveries as get a slot; owners take turns, first those with the fewest slots.

    The caller gives back the slots taken, also if the transaction fails.
    """
    due = sorted(_list_due_owners(session), key=lambda row: (slots.held_by(row.owner), row.next_at))
    queues = [_DueDeliveries(session, row.owner) for row in due]
    found: list[str] = []
    while queues:
        chosen = [(queue, queue.take_next(slots)) for queue in queues]
        queues = [queue for queue, delivery_id in chosen if delivery_id is not None]
        found += [delivery_id for _, delivery_id in chosen if delivery_id is not None]
    taken = (
        update(Delivery)
        .where(Delivery.id.in_(found), Delivery.state == DeliveryState.PENDING)
        .values(attempts=Delivery.attempts + 1, next_at=sql_clock.now_plus(_CLAIM_S))
        .returning(Delivery.id, Delivery.owner, Delivery.url, Delivery.event, Delivery.subject_id, Delivery.attempts)
        .execution_options(synchronize_session=False)
    )
    return [ClaimedDelivery(*row) for row in session.execute(taken)] if found else []


def _list_due_owners(session: Session) -> Sequence[Row[str, datetime]]:
    """Return the owners with due deliveries, each with the time of its longest due.

    A recursive query finds the owners: each step looks up the next one through an index, whatever the backlog.
    """
    waiting = Delivery.next_at.is_not(None)
    first = select(Delivery.owner).where(waiting).order_by(Delivery.owner).limit(1)
    owners = select(first.scalar_subquery().label("owner")).cte("owners", recursive=True)
    later = first.where(Delivery.owner > owners.c.owner)
    owners = owners.union_all(select(later.scalar_subquery()).where(owners.c.owner.is_not(None)))
    soonest = select(func.min(Delivery.next_at)).where(waiting, Delivery.owner == owners.c.owner)
    soonest_at = soonest.correlate(owners).scalar_subquery()
    return session.execute(
        select(owners.c.owner, soonest_at.label("next_at")).where(soonest_at <= sql_clock.now())
    ).all()


class _DueDeliveries:
    """The due deliveries of one owner, read and locked a few at a time, the longest due first.

    The query excludes hosts that get no slot, so that their backlog is not read.
    """

    def __init__(self, session: Session, owner: str) -> None:
        self._session, self._owner = session, owner
        self._read: deque[tuple[str, str]] = deque()
        self._full_hosts: set[str] = set()
        self._taken: list[str] = []

    def take_next(self, slots: Slots) -> str | None:
        """Take a slot for the next delivery whose host has one; return its id, or None if there is none."""
        while slots.has_room(self._owner) and (self._read or self._read_more()):
            delivery_id, host = self._read.popleft()
            if host in self._full_hosts:
                continue
            if slots.take(self._owner, host):
                self._taken.append(delivery_id)
                return delivery_id
            self._full_hosts.add(host)
        return None

    def _read_more(self) -> bool:
        due = select(Delivery.id, Delivery.url).where(Delivery.owner == self._owner)
        due = due.where(Delivery.next_at <= sql_clock.now(), Delivery.id.not_in(self._taken))
        due = due.where(*(not_(_is_to(host)) for host in sorted(self._full_hosts)))
        due = due.order_by(Delivery.next_at).limit(_LOOK_AHEAD).with_for_update(skip_locked=True)
        self._read.extend((delivery_id, host_of(url)) for delivery_id, url in self._session.execute(due))
        return bool(self._read)


def postpone(session: Session, claimed: ClaimedDelivery, after_s: float) -> None:
    """Make a claimed delivery due again in `after_s`, as if this attempt had not been."""
    claim = (Delivery.id == claimed.id, Delivery.attempts == claimed.attempt, Delivery.state == DeliveryState.PENDING)
    values = {"attempts": Delivery.attempts - 1, "next_at": sql_clock.now_plus(after_s)}
    session.execute(update(Delivery).where(*claim).values(**values))


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
