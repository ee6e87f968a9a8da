"""The tables of access: API keys and their usage, idempotency keys, webhook secrets and deliveries."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from shared.db.base import Model, one_of, partial_index
from shared.states import DeliveryState, Role

_PENDING = partial_index("state = 'pending'")
#: The same rows, in the only words that SQLite recognizes in a query with parameters.
_WAITING = partial_index("next_at IS NOT NULL")


class ApiKey(Model):
    """An API key, with only the hash of its secret; null limits do not apply."""

    __tablename__ = "api_keys"
    __table_args__ = (one_of("role", Role),)

    #: The public part of the key.
    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    owner: Mapped[str] = mapped_column(String(64))
    role: Mapped[str] = mapped_column(String(16))
    secret_hash: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    max_waiting: Mapped[int | None]
    #: Maximum work per day, in pixels times steps.
    max_work_per_day: Mapped[float | None]
    max_requests_per_min: Mapped[int | None]
    #: Maximum retention of its jobs, in seconds.
    max_retention_s: Mapped[float | None]
    #: Maximum size of what its owner has stored, in bytes; null means the server's.
    max_stored_bytes: Mapped[int | None] = mapped_column(BigInteger)


class Usage(Model):
    """The work requested with a key on one day (UTC), in pixels times steps."""

    __tablename__ = "usage"

    key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.id", ondelete="CASCADE"), primary_key=True)
    day: Mapped[str] = mapped_column(String(10), primary_key=True)
    work: Mapped[float]


class OwnerTurn(Model):
    """When a job of an owner's was last sent, so that the owner who has waited longest is next."""

    __tablename__ = "owner_turns"

    owner: Mapped[str] = mapped_column(String(64), primary_key=True)
    at: Mapped[datetime]


class StoredBytes(Model):
    """A change of how much an owner stores: positive for what was stored, negative for what was removed.

    `shared.db.stored_bytes` adds them up.
    """

    __tablename__ = "stored_bytes"
    __table_args__ = (Index("ix_stored_bytes_owner", "owner"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    owner: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int] = mapped_column(BigInteger)


class IdempotencyKey(Model):
    """A request that was carried out and its response, which is sent again if the request is repeated."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index("ix_idempotency_keys_created_at", "created_at"),)

    owner: Mapped[str] = mapped_column(String(64), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    #: Hash of the request.
    fingerprint: Mapped[str] = mapped_column(String(64))
    status: Mapped[int]
    location: Mapped[str] = mapped_column(String(200))
    body: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]


class WebhookSecret(Model):
    """The secret that signs an owner's webhooks, and for a while after a rotation also the previous one."""

    __tablename__ = "webhook_secrets"

    owner: Mapped[str] = mapped_column(String(64), primary_key=True)
    secret: Mapped[str] = mapped_column(String(100))
    previous_secret: Mapped[str | None] = mapped_column(String(100))
    previous_until: Mapped[datetime | None]
    created_at: Mapped[datetime]


class Delivery(Model):
    """An event to be sent to a webhook, written in the transaction of the event."""

    __tablename__ = "deliveries"
    __table_args__ = (
        one_of("state", DeliveryState),
        CheckConstraint("(state = 'pending') = (next_at IS NOT NULL)", name="next"),
        Index("ix_deliveries_next_at", "next_at", **_PENDING),
        # For turns between owners.
        Index("ix_deliveries_owner_next_at", "owner", "next_at", **_WAITING),
        Index("ix_deliveries_owner_id", "owner", "id"),
        Index("ix_deliveries_created_at", "created_at"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64))
    url: Mapped[str] = mapped_column(String(2000))
    event: Mapped[str] = mapped_column(String(32))
    #: The job or batch it is about; null for a test.
    subject_id: Mapped[str | None] = mapped_column(String(36))
    state: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int] = mapped_column(default=0)
    #: Time of the next attempt, by the database's clock.
    next_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    #: The attempts: time, status or error, and duration in ms.
    log: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
