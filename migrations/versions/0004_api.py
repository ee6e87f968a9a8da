"""API keys, idempotency keys, webhooks, retention and forecasts.

Revision: 0004. Jobs get a `place` to sort by, since clients may choose a job's id; for existing jobs it is the id.
SQLite rebuilds the table, after which the dispatch index, which is descending, is created anew.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_THIRTY_DAYS_S = "2592000"
_LISTINGS = {
    "ix_jobs_state_place": ["state", "place"],
    "ix_jobs_owner_state_place": ["owner", "state", "place"],
}
_OF_LABELS = {
    "ix_jobs_label_state_place": ["label", "state", "place"],
    "ix_jobs_owner_label_state_place": ["owner", "label", "state", "place"],
}


def _job_columns() -> list[sa.Column[Any]]:
    """Return new columns each time, since a column belongs to one table only."""
    return [
        sa.Column("retry_of", sa.String(36)),
        sa.Column("fingerprint", sa.String(64)),
        sa.Column("webhook", sa.String(2000)),
        sa.Column("retention_s", sa.Double, nullable=False, server_default=_THIRTY_DAYS_S),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("files_gone_at", sa.DateTime(timezone=True)),
        sa.Column("predicted_s", sa.Double),
        sa.Column("promised_p50_at", sa.DateTime(timezone=True)),
        sa.Column("promised_p90_at", sa.DateTime(timezone=True)),
    ]


def upgrade() -> None:
    """Add the columns and create the tables."""
    _upgrade_images()
    _upgrade_jobs()
    _create_keys()
    _create_webhooks()


def downgrade() -> None:
    """Drop the tables and the columns."""
    for table in ("deliveries", "webhook_secrets", "idempotency_keys", "usage", "api_keys", "image_owners"):
        op.drop_table(table)
    for name in ("ix_jobs_turn", "ix_jobs_expires_at", *_LISTINGS, *_OF_LABELS):
        op.drop_index(name, "jobs")
    with op.batch_alter_table("jobs") as jobs:
        jobs.drop_constraint(op.f("uq_jobs_place"), type_="unique")
        for column in (*_job_columns(), sa.Column("place")):
            jobs.drop_column(column.name)
    op.create_index("ix_jobs_turn", "jobs", ["state", "owner", sa.text("priority DESC"), "id"])
    op.create_index("ix_jobs_state_id", "jobs", ["state", "id"])
    op.create_index("ix_jobs_label_id", "jobs", ["label", "id"])
    with op.batch_alter_table("images") as images:
        images.drop_column("last_used_at")
        images.drop_column("gone_at")


def _upgrade_images() -> None:
    with op.batch_alter_table("images") as images:
        images.add_column(sa.Column("last_used_at", sa.DateTime(timezone=True)))
        images.add_column(sa.Column("gone_at", sa.DateTime(timezone=True)))
    op.execute("UPDATE images SET last_used_at = created_at")
    with op.batch_alter_table("images") as images:
        images.alter_column("last_used_at", nullable=False)
    op.create_table(
        "image_owners",
        sa.Column("image_id", sa.String(71), sa.ForeignKey("images.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("owner", sa.String(64), primary_key=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.execute("INSERT INTO image_owners (image_id, owner, created_at) SELECT id, 'local', created_at FROM images")


def _upgrade_jobs() -> None:
    for name in ("ix_jobs_turn", "ix_jobs_state_id", "ix_jobs_label_id"):
        op.drop_index(name, "jobs")
    with op.batch_alter_table("jobs") as jobs:
        jobs.add_column(sa.Column("place", sa.String(36)))
        for column in _job_columns():
            jobs.add_column(column)
    op.execute("UPDATE jobs SET place = id")
    with op.batch_alter_table("jobs") as jobs:
        jobs.alter_column("place", existing_type=sa.String(36), nullable=False)
        jobs.alter_column("retention_s", existing_type=sa.Double, server_default=None)
        jobs.create_unique_constraint(op.f("uq_jobs_place"), ["place"])
    on_sqlite = op.get_bind().dialect.name == "sqlite"
    expires_at = "datetime(ended_at, '+30 days')" if on_sqlite else "ended_at + interval '30 days'"
    op.execute(f"UPDATE jobs SET expires_at = {expires_at} WHERE ended_at IS NOT NULL")  # noqa: S608 - a constant
    op.create_index("ix_jobs_turn", "jobs", ["state", "owner", sa.text("priority DESC"), "place"])
    for name, columns in _LISTINGS.items():
        op.create_index(name, "jobs", columns)
    labeled = sa.text("label IS NOT NULL")
    for name, columns in _OF_LABELS.items():
        op.create_index(name, "jobs", columns, sqlite_where=labeled, postgresql_where=labeled)
    kept = sa.text("files_gone_at IS NULL")
    op.create_index("ix_jobs_expires_at", "jobs", ["expires_at"], sqlite_where=kept, postgresql_where=kept)


def _create_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("secret_hash", sa.String(64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.Column("max_waiting", sa.Integer),
        sa.Column("max_work_per_day", sa.Double),
        sa.Column("max_requests_per_min", sa.Integer),
        sa.Column("max_retention_s", sa.Double),
        sa.CheckConstraint("role IN ('client', 'viewer', 'operator')", name=op.f("ck_api_keys_role")),
    )
    op.create_table(
        "usage",
        sa.Column("key_id", sa.String(16), sa.ForeignKey("api_keys.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("work", sa.Double, nullable=False),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("owner", sa.String(64), primary_key=True),
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("location", sa.String(200), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])


def _create_webhooks() -> None:
    op.create_table(
        "webhook_secrets",
        sa.Column("owner", sa.String(64), primary_key=True),
        sa.Column("secret", sa.String(100), nullable=False),
        sa.Column("previous_secret", sa.String(100)),
        sa.Column("previous_until", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("url", sa.String(2000), nullable=False),
        sa.Column("event", sa.String(32), nullable=False),
        sa.Column("subject_id", sa.String(36)),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("log", sa.JSON, nullable=False),
        sa.CheckConstraint("state IN ('pending', 'delivered', 'failed')", name=op.f("ck_deliveries_state")),
        sa.CheckConstraint("(state = 'pending') = (next_at IS NOT NULL)", name=op.f("ck_deliveries_next")),
    )
    pending = sa.text("state = 'pending'")
    op.create_index("ix_deliveries_next_at", "deliveries", ["next_at"], sqlite_where=pending, postgresql_where=pending)
    op.create_index("ix_deliveries_owner_id", "deliveries", ["owner", "id"])
    op.create_index("ix_deliveries_created_at", "deliveries", ["created_at"])
