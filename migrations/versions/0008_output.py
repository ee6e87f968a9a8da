"""How results are stored: bits per channel, metadata of the photograph, and the name that downloads have.

Revision: 0008. Columns are only added, with defaults, so a server of the version before goes on writing rows.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_TABLES = ("jobs", "batches")


def upgrade() -> None:
    """Add the columns."""
    for table in _TABLES:
        op.add_column(table, sa.Column("depth", sa.Integer, nullable=False, server_default="8"))
        op.add_column(table, sa.Column("keep_metadata", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("jobs", sa.Column("content_name", sa.String(255)))


def downgrade() -> None:
    """Drop the columns."""
    op.drop_column("jobs", "content_name")
    for table in _TABLES:
        op.drop_column(table, "keep_metadata")
        op.drop_column(table, "depth")
