"""Shares of owners: their turns at dispatch and at webhooks, the bytes they store, and one more limit of keys.

Revision: 0010. Columns are only added, with defaults, so a server of the version before goes on writing rows. The bytes
stored so far are counted once: uploads by their size, results by that of their pictures.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_WAITING = sa.text("next_at IS NOT NULL")
_UPLOADED = """
    INSERT INTO stored_bytes (owner, size_bytes)
    SELECT image_owners.owner, SUM(images.size_bytes)
    FROM image_owners JOIN images ON images.id = image_owners.image_id
    WHERE images.gone_at IS NULL GROUP BY image_owners.owner
"""
_PAINTED = """
    INSERT INTO stored_bytes (owner, size_bytes)
    SELECT owner, SUM({bytes}) FROM jobs
    WHERE files_gone_at IS NULL AND result IS NOT NULL GROUP BY owner HAVING SUM({bytes}) > 0
"""
_BYTES = {
    "sqlite": "COALESCE(json_extract(result, '$.bytes'), 0)",
    "postgresql": "COALESCE((result ->> 'bytes')::bigint, 0)",
}


def upgrade() -> None:
    """Add the columns, tables and the index, and count what is stored."""
    op.add_column("api_keys", sa.Column("max_stored_bytes", sa.BigInteger))
    op.add_column("jobs", sa.Column("sent_first", sa.Boolean, nullable=False, server_default=sa.false()))
    op.create_table(
        "owner_turns",
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("owner", name="pk_owner_turns"),
    )
    op.create_table(
        "stored_bytes",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_stored_bytes"),
    )
    op.create_index("ix_stored_bytes_owner", "stored_bytes", ["owner"])
    op.create_index(
        "ix_deliveries_owner_next_at",
        "deliveries",
        ["owner", "next_at"],
        sqlite_where=_WAITING,
        postgresql_where=_WAITING,
    )
    op.execute(_UPLOADED)
    op.execute(_PAINTED.format(bytes=_BYTES[op.get_bind().dialect.name]))


def downgrade() -> None:
    """Drop what was added."""
    op.drop_index("ix_deliveries_owner_next_at", "deliveries")
    op.drop_table("stored_bytes")
    op.drop_table("owner_turns")
    op.drop_column("jobs", "sent_first")
    op.drop_column("api_keys", "max_stored_bytes")
