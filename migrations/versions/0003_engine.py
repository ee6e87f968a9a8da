"""What a picture starts from, and which jobs can be painted together; no more bound on a job's size.

Revision: 0003. A picture that memory does not hold is painted in tiles now, never smaller than asked for.
SQLite rebuilds the table, and on the way the index of turns would lose its descending order, which it is for.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def _restore_turns() -> None:
    """Make the index of turns as it was before the table was rebuilt."""
    op.drop_index("ix_jobs_turn", "jobs")
    op.create_index("ix_jobs_turn", "jobs", ["state", "owner", sa.text("priority DESC"), "id"])


def upgrade() -> None:
    """Add `init_id` and `group_key`, drop `size_limit`."""
    with op.batch_alter_table("jobs") as jobs:
        jobs.add_column(sa.Column("init_id", sa.String(71)))
        jobs.add_column(sa.Column("group_key", sa.String(64)))
        jobs.create_foreign_key(op.f("fk_jobs_init_id"), "images", ["init_id"], ["id"])
        jobs.drop_column("size_limit")
    _restore_turns()


def downgrade() -> None:
    """Drop the two, add `size_limit` again."""
    with op.batch_alter_table("jobs") as jobs:
        jobs.add_column(sa.Column("size_limit", sa.Integer))
        jobs.drop_constraint(op.f("fk_jobs_init_id"), type_="foreignkey")
        jobs.drop_column("group_key")
        jobs.drop_column("init_id")
    _restore_turns()
