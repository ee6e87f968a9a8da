"""The initial image and the group key of jobs; `size_limit` is dropped.

Revision: 0003. Pictures that do not fit the memory are now painted in tiles instead of at a smaller size. SQLite
rebuilds the table, after which the dispatch index is created anew, as it would lose its descending order.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def _restore_dispatch_index() -> None:
    """Create the dispatch index anew, with its descending order."""
    op.drop_index("ix_jobs_turn", "jobs")
    op.create_index("ix_jobs_turn", "jobs", ["state", "owner", sa.text("priority DESC"), "id"])


def upgrade() -> None:
    """Add `init_id` and `group_key`, drop `size_limit`."""
    with op.batch_alter_table("jobs") as jobs:
        jobs.add_column(sa.Column("init_id", sa.String(71)))
        jobs.add_column(sa.Column("group_key", sa.String(64)))
        jobs.create_foreign_key(op.f("fk_jobs_init_id"), "images", ["init_id"], ["id"])
        jobs.drop_column("size_limit")
    _restore_dispatch_index()


def downgrade() -> None:
    """Drop the two columns and add `size_limit` again."""
    with op.batch_alter_table("jobs") as jobs:
        jobs.add_column(sa.Column("size_limit", sa.Integer))
        jobs.drop_constraint(op.f("fk_jobs_init_id"), type_="foreignkey")
        jobs.drop_column("group_key")
        jobs.drop_column("init_id")
    _restore_dispatch_index()
