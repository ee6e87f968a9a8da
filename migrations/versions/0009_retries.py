"""A changed time limit for the jobs that a bulk action retries.

Revision: 0009.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the column; bulk actions from before change no time limit."""
    op.add_column("operations", sa.Column("time_limit_s", sa.Double))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("operations", "time_limit_s")
