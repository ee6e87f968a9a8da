"""Leases, checkpoints, retries, deadlines and owners of jobs; workers; the state of the queue.

Revision: 0002. Running jobs get an expired lease, so that the sweeper returns them to the queue.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_QUEUED = sa.text("state = 'queued'")
_SENT = sa.text("dispatched_at IS NOT NULL")
_RUNNING = sa.text("state = 'running'")
_INDEXES: dict[str, tuple[list[Any], Any]] = {
    "ix_jobs_turn": (["state", "owner", sa.text("priority DESC"), "id"], None),
    "ix_jobs_sent": (["dispatched_at"], _SENT),
    "ix_jobs_lease": (["lease_expires_at"], _RUNNING),
    "ix_jobs_start_by": (["start_by"], _QUEUED),
    "ix_jobs_ended_at": (["ended_at"], None),
}


def _columns() -> list[sa.Column[object]]:
    return [
        sa.Column("owner", sa.String(64), nullable=False, server_default="local"),
        sa.Column("lost_attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("retries", sa.Integer, nullable=False, server_default="0"),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True)),
        sa.Column("retry_at", sa.DateTime(timezone=True)),
        sa.Column("start_by", sa.DateTime(timezone=True)),
        sa.Column("time_limit_s", sa.Double),
        sa.Column("ran_s", sa.Double, nullable=False, server_default="0"),
        sa.Column("size_limit", sa.Integer),
        sa.Column("checkpoint", sa.JSON(none_as_null=True)),
    ]


def upgrade() -> None:
    """Add the columns to `jobs` and create the two tables."""
    op.drop_index("ix_jobs_waiting", "jobs")
    for column in _columns():
        op.add_column("jobs", column)
    op.execute("UPDATE jobs SET lease_expires_at = started_at WHERE state = 'running'")
    op.execute("UPDATE jobs SET dispatched_at = NULL WHERE state <> 'queued'")
    with op.batch_alter_table("jobs") as jobs:
        jobs.create_check_constraint(op.f("ck_jobs_lease"), "(state = 'running') = (lease_expires_at IS NOT NULL)")
        jobs.create_check_constraint(op.f("ck_jobs_sent"), "dispatched_at IS NULL OR state = 'queued'")
        for name in ("owner", "lost_attempts", "retries", "ran_s"):
            jobs.alter_column(name, server_default=None)
    for name, (columns, where) in _INDEXES.items():
        op.create_index(name, "jobs", columns, sqlite_where=where, postgresql_where=where)
    op.create_table(
        "workers",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("wish", sa.String(8), nullable=False),
        sa.Column("about", sa.JSON(none_as_null=True)),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("wish IN ('work', 'pause', 'drain')", name=op.f("ck_workers_wish")),
    )
    queue = op.create_table(
        "queue",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("paused_at", sa.DateTime(timezone=True)),
        sa.Column("held_for", sa.String(64)),
        sa.CheckConstraint("id = 1", name=op.f("ck_queue_single")),
    )
    op.bulk_insert(queue, [{"id": 1}])


def downgrade() -> None:
    """Drop the columns and the two tables."""
    op.drop_table("queue")
    op.drop_table("workers")
    for name in _INDEXES:
        op.drop_index(name, "jobs")
    with op.batch_alter_table("jobs") as jobs:
        for name in ("ck_jobs_lease", "ck_jobs_sent"):
            jobs.drop_constraint(op.f(name), type_="check")
        for column in _columns():
            jobs.drop_column(column.name)
    op.create_index(
        "ix_jobs_waiting", "jobs", [sa.text("priority DESC"), "id"], sqlite_where=_QUEUED, postgresql_where=_QUEUED
    )
