"""Alembic's entry point: runs the versions on the connection that `migrations.upgrade` opened.

Called by the `alembic` command itself, it connects to `ATELIER_DATABASE_URL`.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

import shared.db.models  # noqa: F401 - fills Table.metadata, which autogenerate and `check` compare with
from shared.db.base import Table, connect
from shared.db.sqlite import WRITING
from shared.settings import Settings


def run(connection: Connection) -> None:
    """Run the versions in one transaction each.

    SQLite changes a table by rebuilding it; with foreign keys on, dropping the old `jobs` would delete all events. A
    version reads before it writes, so that it needs the write lock from the beginning.
    """
    connection = connection.execution_options(**{WRITING: True})
    if connection.dialect.name == "sqlite":  # past SQLAlchemy, which would begin a transaction; in one it is ignored
        connection.connection.cursor().execute("PRAGMA foreign_keys=OFF")
    context.configure(
        connection=connection,
        target_metadata=Table.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    with connect(Settings.load().database_url).engine.connect() as opened:
        run(opened)
