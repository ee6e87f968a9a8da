"""The tables. Check constraints hold what no writer may break; `shared.db.jobs` holds the rest.

Times are aware UTC. JSON columns hold what is only ever read whole: params, metadata, progress, result.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from shared.db.base import Table
from shared.states import State, Wish

_STATES = ", ".join(f"'{state}'" for state in State)
_WISHES = ", ".join(f"'{wish}'" for wish in Wish)
_QUEUED = text("state = 'queued'")
_SENT = text("dispatched_at IS NOT NULL")
_RUNNING = text("state = 'running'")


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
        CheckConstraint("(state = 'running') = (lease_expires_at IS NOT NULL)", name="lease"),
        CheckConstraint("dispatched_at IS NULL OR state = 'queued'", name="sent"),
        # What dispatch reads: each owner's waiting jobs in the order in which they go, and those sent. Not for
        # waiting jobs alone: SQLite would pass a partial index over for any other that begins with the state.
        Index("ix_jobs_turn", "state", "owner", text("priority DESC"), "id"),
        Index("ix_jobs_sent", "dispatched_at", sqlite_where=_SENT, postgresql_where=_SENT),
        # What the sweeper and the watchdogs read.
        Index("ix_jobs_lease", "lease_expires_at", sqlite_where=_RUNNING, postgresql_where=_RUNNING),
        Index("ix_jobs_start_by", "start_by", sqlite_where=_QUEUED, postgresql_where=_QUEUED),
        Index("ix_jobs_ended_at", "ended_at"),
        Index("ix_jobs_state_id", "state", "id"),
        Index("ix_jobs_label_id", "label", "id"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    #: Whose job it is; owners take turns.
    owner: Mapped[str] = mapped_column(String(64), default="local")
    state: Mapped[str] = mapped_column(String(16))
    preset: Mapped[str] = mapped_column(String(32))
    params: Mapped[dict[str, Any]]
    #: The weights the client insists on; null takes the worker's.
    weights_wanted: Mapped[str | None] = mapped_column(String(32))
    #: Name and sha256 of the weights that painted it.
    weights: Mapped[dict[str, Any] | None]
    content_id: Mapped[str] = mapped_column(ForeignKey("images.id"))
    styles: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    #: The picture that the first scale starts from; null starts as the params say.
    init_id: Mapped[str | None] = mapped_column(ForeignKey("images.id"))
    #: Equal for jobs that can be painted in one optimisation; null for a job that is painted alone.
    group_key: Mapped[str | None] = mapped_column(String(64))
    priority: Mapped[int] = mapped_column(default=0)
    label: Mapped[str | None] = mapped_column(String(200))
    annotations: Mapped[dict[str, Any]] = mapped_column("metadata")
    attempt: Mapped[int] = mapped_column(default=0)
    #: Attempts lost in a row without a further checkpoint: workers that died or froze over this job.
    lost_attempts: Mapped[int] = mapped_column(default=0)
    #: Attempts given up for an error that may pass.
    retries: Mapped[int] = mapped_column(default=0)
    worker: Mapped[str | None] = mapped_column(String(200))
    #: Until when the running attempt holds the job unless it renews.
    lease_expires_at: Mapped[datetime | None]
    cancel_requested_at: Mapped[datetime | None]
    dispatched_at: Mapped[datetime | None]
    #: Before this moment a retried job is not sent again.
    retry_at: Mapped[datetime | None]
    #: From this moment on a job that has not begun expires.
    start_by: Mapped[datetime | None]
    #: Longest time it may run, and how long it has run, all attempts together, in seconds.
    time_limit_s: Mapped[float | None]
    ran_s: Mapped[float] = mapped_column(default=0.0)
    #: Where the next attempt goes on: key and step.
    checkpoint: Mapped[dict[str, Any] | None]
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


class Worker(Table):
    """A process that paints, as it last said of itself, and what the operator wishes it to do."""

    __tablename__ = "workers"
    __table_args__ = (CheckConstraint(f"wish IN ({_WISHES})", name="wish"),)

    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    wish: Mapped[str] = mapped_column(String(8), default=Wish.WORK)
    #: Weights, device and capacity; null until its painter is ready.
    about: Mapped[dict[str, Any] | None]
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]


class Queue(Table):
    """The one row that says whether jobs are handed out at all."""

    __tablename__ = "queue"
    __table_args__ = (CheckConstraint("id = 1", name="single"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    #: Since when an operator has it paused.
    paused_at: Mapped[datetime | None]
    #: Why it holds by itself until that is mended: the code of an error, such as `storage_full`.
    held_for: Mapped[str | None] = mapped_column(String(64))
