"""The tables; those of access, administration and batches are in modules of their own.

A change here needs a version in `migrations.versions`; a test compares both. Check constraints enforce what no writer
may break. Times are timezone-aware UTC. Some attributes have a column of an older name, such as `place` for `sort_id`
and `lane` for `queue_key`.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, String, false, text
from sqlalchemy.orm import Mapped, mapped_column

from shared.db.base import Model, one_of, partial_index
from shared.db.models.access import (
    ApiKey,
    Delivery,
    IdempotencyKey,
    OwnerTurn,
    StoredBytes,
    Usage,
    WebhookSecret,
)
from shared.db.models.admin import AuditEntry, BrowserSession, MinuteStats, Operation
from shared.db.models.batches import Batch, BatchMove, BatchResult
from shared.painting.results import Result
from shared.painting.steps import Step
from shared.states import DesiredState, State

_QUEUED = partial_index("state = 'queued'")
_SENT = partial_index("dispatched_at IS NOT NULL")
_RUNNING = partial_index("state = 'running'")
_KEPT = partial_index("files_gone_at IS NULL")
_LABELED = partial_index("label IS NOT NULL")
_FAILED = partial_index("error_code IS NOT NULL")

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
    "OwnerTurn",
    "Queue",
    "StoredBytes",
    "Usage",
    "WebhookSecret",
    "Worker",
]

#: How long files of an ended job are kept by default, in seconds.
DEFAULT_RETENTION_S = 30 * 86_400.0


class Image(Model):
    """An uploaded image, identified by the sha256 of its bytes, which are in storage."""

    __tablename__ = "images"

    id: Mapped[str] = mapped_column(String(71), primary_key=True)
    width: Mapped[int]
    height: Mapped[int]
    format: Mapped[str] = mapped_column(String(8))
    size_bytes: Mapped[int]
    created_at: Mapped[datetime]
    #: When it was last uploaded or used by a new job; a use is recorded once per hour.
    last_used_at: Mapped[datetime]
    #: When its bytes were given up; uploading the same bytes restores it.
    gone_at: Mapped[datetime | None]


class ImageOwner(Model):
    """An owner who has uploaded an image; clients see and use only their own."""

    __tablename__ = "image_owners"

    image_id: Mapped[str] = mapped_column(ForeignKey("images.id", ondelete="CASCADE"), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64), primary_key=True)
    created_at: Mapped[datetime]


class Job(Model):
    """One content image, its styles, one set of parameters, one result."""

    __tablename__ = "jobs"
    __table_args__ = (
        one_of("state", State),
        CheckConstraint("attempt >= 0", name="attempt"),
        CheckConstraint("(state = 'failed') = (error_code IS NOT NULL)", name="error"),
        CheckConstraint("state <> 'succeeded' OR result IS NOT NULL", name="result"),
        CheckConstraint("(state = 'running') = (lease_expires_at IS NOT NULL)", name="lease"),
        CheckConstraint("dispatched_at IS NULL OR state = 'queued'", name="sent"),
        # For dispatch: each queue's jobs in dispatch order, and those sent. Not a partial index on queued jobs, since
        # SQLite would prefer any other index that begins with the state.
        Index("ix_jobs_turn", "state", "lane", text("priority DESC"), "place"),
        Index("ix_jobs_sent", "dispatched_at", **_SENT),
        # For sweeps.
        Index("ix_jobs_lease", "lease_expires_at", **_RUNNING),
        Index("ix_jobs_start_by", "start_by", **_QUEUED),
        Index("ix_jobs_expires_at", "expires_at", **_KEPT),
        Index("ix_jobs_ended_at", "ended_at"),
        # For listings, which read a page of each state.
        Index("ix_jobs_state_place", "state", "place"),
        Index("ix_jobs_owner_state_place", "owner", "state", "place"),
        Index("ix_jobs_label_state_place", "label", "state", "place", **_LABELED),
        Index("ix_jobs_owner_label_state_place", "owner", "label", "state", "place", **_LABELED),
        Index("ix_jobs_batch_id_state_place", "batch_id", "state", "place"),
        Index("ix_jobs_error_code_place", "error_code", "place", **_FAILED),
        Index("ix_jobs_owner_error_code_place", "owner", "error_code", "place", **_FAILED),
        # For groups of recent failures.
        Index("ix_jobs_failed_at", "ended_at", **_FAILED),
        Index("uq_jobs_batch_id_item_key", "batch_id", "item_key", unique=True),
        # For reusing identical results.
        Index("ix_jobs_work_key", "work_key", "place"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    #: A UUIDv7 that sorts jobs by age: the id, unless the client has chosen the id.
    sort_id: Mapped[str] = mapped_column("place", String(36), unique=True)
    #: Whose job it is; dispatch is fair between owners.
    owner: Mapped[str] = mapped_column(String(64))
    #: The queue it waits in: that of its batch, or that of its owner's single jobs.
    queue_key: Mapped[str] = mapped_column("lane", String(70))
    #: The batch it is an item of, and its key there.
    batch_id: Mapped[str | None] = mapped_column(ForeignKey("batches.id"))
    item_key: Mapped[str | None] = mapped_column(String(512))
    state: Mapped[str] = mapped_column(String(16))
    preset: Mapped[str] = mapped_column(String(32))
    params: Mapped[dict[str, Any]]
    #: The weights the client requires; null accepts the worker's.
    weights_wanted: Mapped[str | None] = mapped_column(String(32))
    #: Name and sha256 of the weights that painted it.
    weights: Mapped[dict[str, Any] | None]
    content_id: Mapped[str] = mapped_column(ForeignKey("images.id"))
    styles: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    #: The image that the first scale starts from; null starts as the params say.
    init_id: Mapped[str | None] = mapped_column(ForeignKey("images.id"))
    #: Bits per channel of the result, 8 or 16.
    depth: Mapped[int] = mapped_column(default=8, server_default="8")
    #: Whether the result keeps date, camera, place and resolution of the photograph.
    keep_metadata: Mapped[bool] = mapped_column(default=False, server_default=false())
    #: The file name of the photograph, fit for every file system; null if the client did not say, and for items.
    content_name: Mapped[str | None] = mapped_column(String(255))
    #: Equal for jobs that can be painted in one optimization; null for a job that is painted alone.
    group_key: Mapped[str | None] = mapped_column(String(64))
    priority: Mapped[int] = mapped_column(default=0)
    #: The job that this one retries.
    retry_of: Mapped[str | None] = mapped_column(String(36))
    #: The result key, equal for jobs with identical results given the same weights.
    work_key: Mapped[str | None] = mapped_column(String(64))
    #: Whether an identical earlier result may be reused, and the job whose result was.
    reuse: Mapped[bool] = mapped_column(default=False)
    reused_from: Mapped[str | None] = mapped_column(String(36))
    #: Hash of the request, if the client chose the id: repeating the request returns the same job.
    fingerprint: Mapped[str | None] = mapped_column(String(64))
    #: The URL that is notified of its end.
    webhook: Mapped[str | None] = mapped_column(String(2000))
    label: Mapped[str | None] = mapped_column(String(200))
    annotations: Mapped[dict[str, Any]] = mapped_column("metadata")
    attempt: Mapped[int] = mapped_column(default=0)
    #: Attempts lost in a row without a new checkpoint, by workers that died or hung.
    lost_attempts: Mapped[int] = mapped_column(default=0)
    #: Attempts that ended with a temporary error.
    retries: Mapped[int] = mapped_column(default=0)
    worker: Mapped[str | None] = mapped_column(String(200))
    #: When the running attempt loses the job unless it renews its lease.
    lease_expires_at: Mapped[datetime | None]
    cancel_requested_at: Mapped[datetime | None]
    dispatched_at: Mapped[datetime | None]
    #: Whether it was sent to be read before all that others have sent.
    sent_first: Mapped[bool] = mapped_column(default=False, server_default=false())
    #: A retried job is not sent before this time.
    retry_at: Mapped[datetime | None]
    #: A job that has not started by this time expires.
    start_by: Mapped[datetime | None]
    #: Maximum running time and running time so far, over all attempts, in seconds.
    time_limit_s: Mapped[float | None]
    ran_s: Mapped[float] = mapped_column(default=0.0)
    #: Where the next attempt resumes: storage key and step.
    checkpoint: Mapped[dict[str, Any] | None]
    progress: Mapped[Step | None] = mapped_column(JSON(none_as_null=True))
    result: Mapped[Result | None] = mapped_column(JSON(none_as_null=True))
    error_code: Mapped[str | None] = mapped_column(String(64))
    error_message: Mapped[str | None] = mapped_column(String(2000))
    error_retryable: Mapped[bool | None]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    #: How long its files are kept after its end, in seconds; when they expire, and when they were removed.
    retention_s: Mapped[float] = mapped_column(default=DEFAULT_RETENTION_S)
    expires_at: Mapped[datetime | None]
    files_gone_at: Mapped[datetime | None]
    #: Running time predicted at submission, in seconds; null if no prediction was possible.
    predicted_s: Mapped[float | None]
    #: Forecast end at submission: median and 90th percentile.
    eta_p50_at: Mapped[datetime | None] = mapped_column("promised_p50_at")
    eta_p90_at: Mapped[datetime | None] = mapped_column("promised_p90_at")


class JobEvent(Model):
    """Something that happened to a job, written in the same transaction."""

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


class Worker(Model):
    """A worker process, as it last described itself, and the state the operator wants it in."""

    __tablename__ = "workers"
    __table_args__ = (one_of("wish", DesiredState),)

    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    desired_state: Mapped[str] = mapped_column("wish", String(8), default=DesiredState.WORK)
    #: Weights, device and capacity; null until its engine has started.
    about: Mapped[dict[str, Any] | None]
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]


class Queue(Model):
    """A single row that says whether jobs are dispatched at all."""

    __tablename__ = "queue"
    __table_args__ = (CheckConstraint("id = 1", name="single"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    #: When an operator paused it.
    paused_at: Mapped[datetime | None]
    #: The code of an error, such as `storage_full`, that stops dispatch until it is resolved.
    held_for: Mapped[str | None] = mapped_column(String(64))
