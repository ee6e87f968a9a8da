"""Batches, queue keys, result keys, and the tables of administration.

Revision: 0005. `lane` is a job's queue key: its batch, or its owner if it has none. `work_key` finds identical results.
SQLite rebuilds the table, after which the dispatch index, which is descending, is created anew.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_COUNTS = ("queued", "running", "succeeded", "failed", "canceled", "expired", "reused", "results")
_INDEXES = {
    "ix_jobs_batch_id_state_place": ["batch_id", "state", "place"],
    "ix_jobs_work_key": ["work_key", "place"],
}


def upgrade() -> None:
    """Create the tables and add the columns."""
    _create_batches()
    _create_administration()
    op.drop_index("ix_jobs_turn", "jobs")
    with op.batch_alter_table("jobs") as jobs:
        jobs.add_column(sa.Column("lane", sa.String(70)))
        jobs.add_column(sa.Column("batch_id", sa.String(36)))
        jobs.add_column(sa.Column("item_key", sa.String(512)))
        jobs.add_column(sa.Column("work_key", sa.String(64)))
        jobs.add_column(sa.Column("reused_from", sa.String(36)))
        jobs.add_column(sa.Column("reuse", sa.Boolean, nullable=False, server_default=sa.false()))
        jobs.create_foreign_key(op.f("fk_jobs_batch_id"), "batches", ["batch_id"], ["id"])
    op.execute("UPDATE jobs SET lane = 'owner:' || owner")
    with op.batch_alter_table("jobs") as jobs:
        jobs.alter_column("lane", existing_type=sa.String(70), nullable=False)
        jobs.alter_column("reuse", existing_type=sa.Boolean(), server_default=None)
    op.create_index("ix_jobs_turn", "jobs", ["state", "lane", sa.text("priority DESC"), "place"])
    op.create_index("uq_jobs_batch_id_item_key", "jobs", ["batch_id", "item_key"], unique=True)
    for name, columns in _INDEXES.items():
        op.create_index(name, "jobs", columns)


def downgrade() -> None:
    """Drop the tables and the columns; items become single jobs."""
    for name in ("ix_jobs_turn", "uq_jobs_batch_id_item_key", *_INDEXES):
        op.drop_index(name, "jobs")
    with op.batch_alter_table("jobs") as jobs:
        jobs.drop_constraint(op.f("fk_jobs_batch_id"), type_="foreignkey")
        for name in ("reuse", "reused_from", "work_key", "item_key", "batch_id", "lane"):
            jobs.drop_column(name)
    op.create_index("ix_jobs_turn", "jobs", ["state", "owner", sa.text("priority DESC"), "place"])
    for table in ("readings", "audit", "operations", "sign_ins", "batch_results", "batch_moves", "batches"):
        op.drop_table(table)


def _create_batches() -> None:
    op.create_table(
        "batches",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("preset", sa.String(32), nullable=False),
        sa.Column("params", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("styles", sa.JSON, nullable=False),
        sa.Column("weights_wanted", sa.String(32)),
        sa.Column("matrix", sa.JSON(none_as_null=True)),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("max_parallel", sa.Integer),
        sa.Column("reuse", sa.Boolean, nullable=False),
        sa.Column("label", sa.String(200)),
        sa.Column("metadata", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("webhook", sa.String(2000)),
        sa.Column("retention_s", sa.Double, nullable=False),
        sa.Column("time_limit_s", sa.Double),
        *(
            sa.Column(f"{name}_at", sa.DateTime(timezone=True), nullable=name != "created")
            for name in ("created", "started", "ended")
        ),
        *(sa.Column(name, sa.Integer, nullable=False) for name in _COUNTS),
        sa.CheckConstraint(
            "state IN ('open', 'running', 'paused', 'canceled', 'finished')", name=op.f("ck_batches_state")
        ),
        sa.CheckConstraint("max_parallel IS NULL OR max_parallel > 0", name=op.f("ck_batches_max_parallel")),
    )
    op.create_index("ix_batches_owner_id", "batches", ["owner", "id"])
    op.create_index("ix_batches_state_id", "batches", ["state", "id"])
    op.create_table(
        "batch_moves",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("batch_id", sa.String(36), nullable=False),
        sa.Column("job_id", sa.String(36)),
        sa.Column("was", sa.String(16)),
        sa.Column("became", sa.String(16)),
        sa.Column("count", sa.Integer, nullable=False),
    )
    op.create_index("ix_batch_moves_batch_id", "batch_moves", ["batch_id"])
    op.create_table(
        "batch_results",
        sa.Column("batch_id", sa.String(36), sa.ForeignKey("batches.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("job_id", sa.String(36), nullable=False),
    )


def _create_administration() -> None:
    op.create_table(
        "sign_ins",
        sa.Column("token_hash", sa.String(64), primary_key=True),
        sa.Column("key_id", sa.String(16), sa.ForeignKey("api_keys.id", ondelete="CASCADE"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_sign_ins_expires_at", "sign_ins", ["expires_at"])
    op.create_table(
        "operations",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("filter", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("reason", sa.String(500), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("key_id", sa.String(16), nullable=False),
        sa.Column("owner", sa.String(64)),
        *(sa.Column(name, sa.Integer, nullable=False) for name in ("matched", "done", "refused")),
        sa.Column("reached", sa.String(36)),
        sa.Column("until", sa.String(36), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("state IN ('running', 'done', 'stopped')", name=op.f("ck_operations_state")),
    )
    running = sa.text("state = 'running'")
    op.create_index("ix_operations_running", "operations", ["id"], sqlite_where=running, postgresql_where=running)
    op.create_table(
        "audit",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("key_id", sa.String(16), nullable=False),
        sa.Column("key_name", sa.String(100), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(200)),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("reason", sa.String(500)),
        sa.Column("details", sa.JSON, nullable=False),
    )
    op.create_index("ix_audit_key_id_id", "audit", ["key_id", "id"])
    op.create_table(
        "readings",
        sa.Column("minute", sa.DateTime(timezone=True), primary_key=True),
        *(sa.Column(name, sa.Integer, nullable=False) for name in ("waiting", "running", "succeeded", "failed")),
        *(sa.Column(name, sa.Double) for name in ("oldest_s", "wait_p50_s", "wait_p90_s", "run_p50_s", "run_p90_s")),
    )
