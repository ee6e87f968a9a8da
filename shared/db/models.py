"""The tables. Check constraints hold what no writer may break; `shared.db.jobs` holds the rest.

Times are aware UTC. JSON columns hold what is only ever read whole: params, metadata, progress, result.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from shared.db.base import Table
from shared.states import State

_STATES = ", ".join(f"'{state}'" for state in State)


class Image(Table):
    """An uploaded picture, named by the sha256 of its bytes, which lie in storage."""

    __tablename__ = "images"

    id: Mapped[str] = mapped_column(String(71), primary_key=True)
    width: Mapped[int]
    height: Mapped[int]
    format: Mapped[str] = mapped_column(String(8))
    size_bytes: Mapped[int]
    created_at: Mapped[datetime]


class Job(Table):
    """One content image, its styles, one set of parameters, one result."""

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint(f"state IN ({_STATES})", name="state"),
        CheckConstraint("attempt >= 0", name="attempt"),
        CheckConstraint("(state = 'failed') = (error_code IS NOT NULL)", name="error"),
        CheckConstraint("state <> 'succeeded' OR result IS NOT NULL", name="result"),
        # What dispatch reads: the waiting jobs in the order in which they go.
        Index(
            "ix_jobs_waiting",
            text("priority DESC"),
            "id",
            sqlite_where=text("state = 'queued'"),
            postgresql_where=text("state = 'queued'"),
        ),
        Index("ix_jobs_state_id", "state", "id"),
        Index("ix_jobs_label_id", "label", "id"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    preset: Mapped[str] = mapped_column(String(32))
    params: Mapped[dict[str, Any]]
    #: The weights the client insists on; null takes the worker's.
    weights_wanted: Mapped[str | None] = mapped_column(String(32))
    #: Name and sha256 of the weights that painted it.
    weights: Mapped[dict[str, Any] | None]
    content_id: Mapped[str] = mapped_column(ForeignKey("images.id"))
    styles: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    priority: Mapped[int] = mapped_column(default=0)
    label: Mapped[str | None] = mapped_column(String(200))
    annotations: Mapped[dict[str, Any]] = mapped_column("metadata")
    attempt: Mapped[int] = mapped_column(default=0)
    worker: Mapped[str | None] = mapped_column(String(200))
    cancel_requested_at: Mapped[datetime | None]
    dispatched_at: Mapped[datetime | None]
    progress: Mapped[dict[str, Any] | None]
    result: Mapped[dict[str, Any] | None]
    error_code: Mapped[str | None] = mapped_column(String(64))
    error_message: Mapped[str | None] = mapped_column(String(2000))
    error_retryable: Mapped[bool | None]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class JobEvent(Table):
    """One thing that happened to a job; written in the transaction that made it happen."""

    __tablename__ = "job_events"
    __table_args__ = (Index("ix_job_events_job_id_id", "job_id", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(32))
    state: Mapped[str] = mapped_column(String(16))
    attempt: Mapped[int]
    worker: Mapped[str | None] = mapped_column(String(200))
    details: Mapped[dict[str, Any] | None]
    at: Mapped[datetime]
