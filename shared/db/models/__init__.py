"""The tables, those of keys, batches and operating taken from files of their own.

Check constraints hold what no writer may break; `shared.db.jobs.transitions` holds the rest.

Times are aware UTC. JSON columns hold what is only ever read whole: params, metadata, progress, result.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from shared.db.base import Table
from shared.db.models.access import ApiKey, Delivery, IdempotencyKey, Usage, WebhookSecret
from shared.db.models.admin import AuditEntry, BrowserSession, MinuteStats, Operation
from shared.db.models.batches import Batch, BatchMove, BatchResult
from shared.painting.results import Result
from shared.painting.steps import Step
from shared.states import DesiredState, State

_STATES = ", ".join(f"'{state}'" for state in State)
_WISHES = ", ".join(f"'{wish}'" for wish in DesiredState)
_QUEUED = text("state = 'queued'")
_SENT = text("dispatched_at IS NOT NULL")
_RUNNING = text("state = 'running'")
_KEPT = text("files_gone_at IS NULL")
_LABELED = text("label IS NOT NULL")
_FAILED = text("error_code IS NOT NULL")

__all__ = [
    "ApiKey",
    "AuditEntry",
    "Batch",
    "BatchMove",
    "BatchResult",
    "BrowserSession",
    "Delivery",
    "IdempotencyKey",
    "Image",
    "ImageOwner",
    "Job",
    "JobEvent",
    "MinuteStats",
    "Operation",
    "Queue",
    "Usage",
    "WebhookSecret",
    "Worker",
]

#: How long an ended job's files stay where nothing else is said, in seconds.
DEFAULT_RETENTION_S = 30 * 86_400.0


class Image(Table):
    """An uploaded picture, named by the sha256 of its bytes, which lie in storage."""

    __tablename__ = "images"

    id: Mapped[str] = mapped_column(String(71), primary_key=True)
    width: Mapped[int]
    height: Mapped[int]
    format: Mapped[str] = mapped_column(String(8))
    size_bytes: Mapped[int]
    created_at: Mapped[datetime]
    #: When a job was last asked for with it, within the hour, or it was last uploaded.
    last_used_at: Mapped[datetime]
    #: Since when its bytes are gone; an upload of the same bytes brings it back.
    gone_at: Mapped[datetime | None]


class ImageOwner(Table):
    """Who has uploaded an image: a client sees and uses only its own."""

    __tablename__ = "image_owners"

    image_id: Mapped[str] = mapped_column(ForeignKey("images.id", ondelete="CASCADE"), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64), primary_key=True)
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
        # What dispatch reads: each lane's waiting jobs in the order in which they go, and those sent. Not for
        # waiting jobs alone: SQLite would pass a partial index over for any other that begins with the state.
        Index("ix_jobs_turn", "state", "lane", text("priority DESC"), "place"),
        Index("ix_jobs_sent", "dispatched_at", sqlite_where=_SENT, postgresql_where=_SENT),
        # What the sweeper and the watchdogs read.
        Index("ix_jobs_lease", "lease_expires_at", sqlite_where=_RUNNING, postgresql_where=_RUNNING),
        Index("ix_jobs_start_by", "start_by", sqlite_where=_QUEUED, postgresql_where=_QUEUED),
        Index("ix_jobs_expires_at", "expires_at", sqlite_where=_KEPT, postgresql_where=_KEPT),
        Index("ix_jobs_ended_at", "ended_at"),
        # What listings read: a page of each state, whatever else they are filtered by.
        Index("ix_jobs_state_place", "state", "place"),
        Index("ix_jobs_owner_state_place", "owner", "state", "place"),
        Index("ix_jobs_label_state_place", "label", "state", "place", sqlite_where=_LABELED, postgresql_where=_LABELED),
        Index(
            "ix_jobs_owner_label_state_place",
            "owner",
            "label",
            "state",
            "place",
            sqlite_where=_LABELED,
            postgresql_where=_LABELED,
        ),
        Index("ix_jobs_batch_id_state_place", "batch_id", "state", "place"),
        Index("ix_jobs_error_code_place", "error_code", "place", sqlite_where=_FAILED, postgresql_where=_FAILED),
        Index(
            "ix_jobs_owner_error_code_place",
            "owner",
            "error_code",
            "place",
            sqlite_where=_FAILED,
            postgresql_where=_FAILED,
        ),
        # What groups the last failures.
        Index("ix_jobs_failed_at", "ended_at", sqlite_where=_FAILED, postgresql_where=_FAILED),
        Index("uq_jobs_batch_id_item_key", "batch_id", "item_key", unique=True),
        # What finds a picture that was painted before.
        Index("ix_jobs_work_key", "work_key", "place"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    #: A UUIDv7 by which jobs sort by age: the id, unless the client has chosen that.
    sort_id: Mapped[str] = mapped_column("place", String(36), unique=True)
    #: Whose job it is; owners take turns.
    owner: Mapped[str] = mapped_column(String(64))
    #: Where it waits: its batch, or with its owner's other jobs.
    queue_key: Mapped[str] = mapped_column("lane", String(70))
    #: The batch whose item it is, and its name there.
    batch_id: Mapped[str | None] = mapped_column(ForeignKey("batches.id"))
    item_key: Mapped[str | None] = mapped_column(String(512))
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
    #: The job that this one paints again.
    retry_of: Mapped[str | None] = mapped_column(String(36))
    #: Equal for jobs that become the same picture with the same weights; and the job whose picture this one took over.
    work_key: Mapped[str | None] = mapped_column(String(64))
    #: Whether a picture painted before may be taken over.
    reuse: Mapped[bool] = mapped_column(default=False)
    reused_from: Mapped[str | None] = mapped_column(String(36))
    #: Hash of the request by which the client chose the id: the same again is no other job.
    fingerprint: Mapped[str | None] = mapped_column(String(64))
    #: Where its end is told.
    webhook: Mapped[str | None] = mapped_column(String(2000))
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
    progress: Mapped[Step | None] = mapped_column(JSON(none_as_null=True))
    result: Mapped[Result | None] = mapped_column(JSON(none_as_null=True))
    error_code: Mapped[str | None] = mapped_column(String(64))
    error_message: Mapped[str | None] = mapped_column(String(2000))
    error_retryable: Mapped[bool | None]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    #: How long its files stay once it has ended, in seconds; then when they go, and since when they are gone.
    retention_s: Mapped[float] = mapped_column(default=DEFAULT_RETENTION_S)
    expires_at: Mapped[datetime | None]
    files_gone_at: Mapped[datetime | None]
    #: What painting was predicted to take when it was submitted, in seconds; null while nobody could say.
    predicted_s: Mapped[float | None]
    #: When it was promised to end, at evens and at nine in ten.
    eta_p50_at: Mapped[datetime | None] = mapped_column("promised_p50_at")
    eta_p90_at: Mapped[datetime | None] = mapped_column("promised_p90_at")


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
    wish: Mapped[str] = mapped_column(String(8), default=DesiredState.WORK)
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
