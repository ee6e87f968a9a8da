"""The schema goes up, down and up again, and agrees with the models."""

from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

import migrations
from shared.db.base import Table, connect


def test_the_schema_goes_up_down_and_up(settings) -> None:
    url = settings.database_url
    migrations.upgrade(url)
    migrations.downgrade(url, "base")
    assert set(inspect(connect(url).engine).get_table_names()) <= {"alembic_version"}
    migrations.upgrade(url)
    migrations.upgrade(url)
    assert {"images", "jobs", "job_events"} <= set(inspect(connect(url).engine).get_table_names())


def test_the_schema_is_the_models(database) -> None:
    with database.engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), Table.metadata)
    # SQLite cannot tell how an index on an expression is ordered
    assert [d for d in differences if getattr(d[1], "name", "") != "ix_jobs_waiting"] == []
