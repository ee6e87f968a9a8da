"""Alembic's entry point: runs the versions on the connection of `migrations.upgrade`.

When the `alembic` command runs it, it connects to `ATELIER_DATABASE_URL`.
"""

from alembic import context
from sqlalchemy import Connection

import shared.db.models  # noqa: F401 - fills Model.metadata, which autogenerate and `check` compare with
from shared.db.base import Model, connect
from shared.db.sqlite import WRITING
from shared.settings import Settings


def run(connection: Connection) -> None:
    """Run each version in a transaction.

    SQLite alters a table by rebuilding it; with foreign keys on, dropping the old `jobs` would delete all events. A
    version reads before it writes, so it takes the write lock when it begins.
    """
    connection = connection.execution_options(**{WRITING: True})
    if connection.dialect.name == "sqlite":  # SQLAlchemy would begin a transaction, where it is ignored
        connection.connection.cursor().execute("PRAGMA foreign_keys=OFF")
    context.configure(
        connection=connection,
        target_metadata=Model.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


existing = context.config.attributes.get("connection")
if existing is not None:
    run(existing)
else:
    with connect(Settings.load().database_url).engine.connect() as opened:
        run(opened)
