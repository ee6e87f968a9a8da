"""The tables of batches. An item is a row of `jobs` with a batch and a key."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, String, false
from sqlalchemy.orm import Mapped, mapped_column

from shared.db.base import Model, one_of
from shared.states import BatchState


class Batch(Model):
    """Many jobs that share styles and params and are controlled together."""

    __tablename__ = "batches"
    __table_args__ = (
        one_of("state", BatchState),
        CheckConstraint("max_parallel IS NULL OR max_parallel > 0", name="max_parallel"),
        Index("ix_batches_owner_id", "owner", "id"),
        Index("ix_batches_state_id", "state", "id"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    preset: Mapped[str] = mapped_column(String(32))
    #: The params that differ from the preset.
    params: Mapped[dict[str, Any]]
    styles: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    weights_wanted: Mapped[str | None] = mapped_column(String(32))
    #: As of each item.
    depth: Mapped[int] = mapped_column(default=8, server_default="8")
    keep_metadata: Mapped[bool] = mapped_column(default=False, server_default=false())
    #: Rows and columns of a batch that compares parameters; null for others.
    matrix: Mapped[dict[str, Any] | None]
    priority: Mapped[int]
    #: Most of its items in flight at once; null means no limit.
    max_parallel: Mapped[int | None]
    #: Whether identical earlier results are reused.
    reuse: Mapped[bool]
    label: Mapped[str | None] = mapped_column(String(200))
    annotations: Mapped[dict[str, Any]] = mapped_column("metadata")
    webhook: Mapped[str | None] = mapped_column(String(2000))
    retention_s: Mapped[float]
    time_limit_s: Mapped[float | None]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    #: Items in each state, by the moves folded so far; `reused` ones are also `succeeded`.
    queued: Mapped[int] = mapped_column(default=0)
    running: Mapped[int] = mapped_column(default=0)
    succeeded: Mapped[int] = mapped_column(default=0)
    failed: Mapped[int] = mapped_column(default=0)
    canceled: Mapped[int] = mapped_column(default=0)
    expired: Mapped[int] = mapped_column(default=0)
    reused: Mapped[int] = mapped_column(default=0)
    #: How many results it has.
    results: Mapped[int] = mapped_column(default=0)


class BatchMove(Model):
    """A change of items from one state to another that is not yet folded into their batch's counts.

    Inserting a row instead of updating a count keeps workers from contending for the batch's row.
    """

    __tablename__ = "batch_moves"
    __table_args__ = (Index("ix_batch_moves_batch_id", "batch_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    batch_id: Mapped[str] = mapped_column(String(36))
    #: The item, if it is a single one.
    job_id: Mapped[str | None] = mapped_column(String(36))
    #: Null for an item that is added or removed.
    was: Mapped[str | None] = mapped_column(String(16))
    became: Mapped[str | None] = mapped_column(String(16))
    count: Mapped[int]


class BatchResult(Model):
    """An ended item, numbered in the order of folding; the results of a batch are read from here.

    Numbers are assigned while the batch's row is locked, so that a reader never misses a lower one.
    """

    __tablename__ = "batch_results"

    batch_id: Mapped[str] = mapped_column(ForeignKey("batches.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    job_id: Mapped[str] = mapped_column(String(36))
