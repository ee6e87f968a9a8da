"""Indexes by which jobs that failed are found by their error's code, and the last of them are grouped.

Revision: 0007. They hold failed jobs alone, so that other jobs pay nothing for them.
"""

from __future__ import annotations

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
    """Make the indexes."""
    for name, columns in _INDEXES.items():
        op.create_index(name, "jobs", columns, sqlite_where=_FAILED, postgresql_where=_FAILED)


def downgrade() -> None:
    """Drop them again."""
    for name in _INDEXES:
        op.drop_index(name, "jobs")
