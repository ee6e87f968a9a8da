"""The tables of batches. An item is a row of `jobs` that names its batch and its key there."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from shared.db.base import Table
from shared.states import BatchState

_BATCH_STATES = ", ".join(f"'{state}'" for state in BatchState)


class Batch(Table):
    """Many jobs that share style and params, steered as one."""

    __tablename__ = "batches"
    __table_args__ = (
        CheckConstraint(f"state IN ({_BATCH_STATES})", name="state"),
        CheckConstraint("max_parallel IS NULL OR max_parallel > 0", name="max_parallel"),
        Index("ix_batches_owner_id", "owner", "id"),
        Index("ix_batches_state_id", "state", "id"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    preset: Mapped[str] = mapped_column(String(32))
    #: What departs from the preset.
    params: Mapped[dict[str, Any]]
    styles: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    weights_wanted: Mapped[str | None] = mapped_column(String(32))
    #: Rows and columns of a batch for choosing a look; null for any other.
    matrix: Mapped[dict[str, Any] | None]
    priority: Mapped[int]
    #: Most of its items in the workers' hands at once; null is no limit.
    max_parallel: Mapped[int | None]
    #: Whether pictures that were painted before are taken over.
    reuse: Mapped[bool]
    label: Mapped[str | None] = mapped_column(String(200))
    annotations: Mapped[dict[str, Any]] = mapped_column("metadata")
    webhook: Mapped[str | None] = mapped_column(String(2000))
    retention_s: Mapped[float]
    time_limit_s: Mapped[float | None]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    #: How many of its items are in each state, as of the moves folded in so far; `reused` are among those succeeded.
    queued: Mapped[int] = mapped_column(default=0)
    running: Mapped[int] = mapped_column(default=0)
    succeeded: Mapped[int] = mapped_column(default=0)
    failed: Mapped[int] = mapped_column(default=0)
    canceled: Mapped[int] = mapped_column(default=0)
    expired: Mapped[int] = mapped_column(default=0)
    reused: Mapped[int] = mapped_column(default=0)
    #: How many results its feed has.
    results: Mapped[int] = mapped_column(default=0)


class BatchMove(Table):
    """Items that moved from one state to another, not yet folded into their batch's counts.

    A row for each move, instead of a count kept in place, so that workers never wait for each other's batch row.
    """

    __tablename__ = "batch_moves"
    __table_args__ = (Index("ix_batch_moves_batch_id", "batch_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    batch_id: Mapped[str] = mapped_column(String(36))
    #: The item, where it is one that moved.
    job_id: Mapped[str | None] = mapped_column(String(36))
    #: Null where an item comes in or leaves.
    was: Mapped[str | None] = mapped_column(String(16))
    became: Mapped[str | None] = mapped_column(String(16))
    count: Mapped[int]


class BatchResult(Table):
    """An item that ended, in the order in which the batch came to know: what its feed is read from.

    Numbers are given while the batch's row is locked, so that none can appear behind a reader.
    """

    __tablename__ = "batch_results"

    batch_id: Mapped[str] = mapped_column(ForeignKey("batches.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    job_id: Mapped[str] = mapped_column(String(36))
