"""The tables of administration: browser sessions, bulk actions, the audit log and statistics by the minute."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from shared.db.base import Model, one_of, partial_index
from shared.states import OperationState

_RUNNING = partial_index("state = 'running'")


class BrowserSession(Model):
    """A browser signed in with an API key; only the hash of its token is stored."""

    __tablename__ = "sign_ins"
    __table_args__ = (Index("ix_sign_ins_expires_at", "expires_at"),)

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.id", ondelete="CASCADE"))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class Operation(Model):
    """A bulk action: one action on every job that matches a filter, applied in chunks by maintenance."""

    __tablename__ = "operations"
    __table_args__ = (one_of("state", OperationState), Index("ix_operations_running", "id", **_RUNNING))

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    action: Mapped[str] = mapped_column(String(16))
    #: The fields of the filter.
    chosen: Mapped[dict[str, Any]] = mapped_column("filter")
    reason: Mapped[str] = mapped_column(String(500))
    #: The time limit of the jobs that it retries, in seconds; null keeps each job's own.
    time_limit_s: Mapped[float | None]
    state: Mapped[str] = mapped_column(String(16))
    #: The key that requested it, and the owner whose jobs it may change; null for all owners.
    key_id: Mapped[str] = mapped_column(String(16))
    owner: Mapped[str | None] = mapped_column(String(64))
    #: How many jobs matched at the beginning, how many were processed, and how many of these refused.
    matched: Mapped[int]
    done: Mapped[int] = mapped_column(default=0)
    refused: Mapped[int] = mapped_column(default=0)
    #: The sort id of the job processed last; jobs with one above `until` are not processed.
    reached: Mapped[str | None] = mapped_column(String(36))
    until: Mapped[str] = mapped_column(String(36))
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class AuditEntry(Model):
    """An action that someone took, written in the transaction of the action."""

    __tablename__ = "audit"
    __table_args__ = (Index("ix_audit_key_id_id", "key_id", "id"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    at: Mapped[datetime]
    key_id: Mapped[str] = mapped_column(String(16))
    key_name: Mapped[str] = mapped_column(String(100))
    action: Mapped[str] = mapped_column(String(64))
    #: The object of the action, and how many.
    subject: Mapped[str | None] = mapped_column(String(200))
    count: Mapped[int] = mapped_column(default=1)
    reason: Mapped[str | None] = mapped_column(String(500))
    details: Mapped[dict[str, Any]] = mapped_column(JSON)


class MinuteStats(Model):
    """Statistics of one minute, for charts; times are in seconds, null if there are none."""

    __tablename__ = "readings"

    minute: Mapped[datetime] = mapped_column(primary_key=True)
    waiting: Mapped[int]
    running: Mapped[int]
    oldest_s: Mapped[float | None]
    #: How many jobs ended in this minute.
    succeeded: Mapped[int]
    failed: Mapped[int]
    wait_p50_s: Mapped[float | None]
    wait_p90_s: Mapped[float | None]
    run_p50_s: Mapped[float | None]
    run_p90_s: Mapped[float | None]
