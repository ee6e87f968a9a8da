"""Indexes to list failed jobs by error code and to group recent failures.

Revision: 0007; there is no 0006. They are partial indexes on failed jobs, so that other jobs cost nothing.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0005"

_FAILED = sa.text("error_code IS NOT NULL")
_INDEXES = {
    "ix_jobs_error_code_place": ["error_code", "place"],
    "ix_jobs_owner_error_code_place": ["owner", "error_code", "place"],
    "ix_jobs_failed_at": ["ended_at"],
}


def upgrade() -> None:
    """Create the indexes."""
    for name, columns in _INDEXES.items():
        op.create_index(name, "jobs", columns, sqlite_where=_FAILED, postgresql_where=_FAILED)


def downgrade() -> None:
    """Drop the indexes."""
    for name in _INDEXES:
        op.drop_index(name, "jobs")
