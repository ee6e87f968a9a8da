"""The schema goes up, down and up again, one version at a time, and agrees with the models."""

import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import ClauseElement, Engine, inspect, text

import migrations
import shared.db.models  # noqa: F401 - fills Model.metadata
from shared.db import workers
from shared.db.base import Database, Model
from shared.db.jobs import queries
from shared.errors import DatabaseUnavailable
from tests.support.factories import add_job

#: All versions, the newest first.
VERSIONS = list(ScriptDirectory(str(Path(migrations.__file__).parent)).walk_revisions())


#: Where each database keeps the statements that made its indexes: reflection leaves the order of a column out.
_INDEXES = {
    "sqlite": "SELECT name, sql AS made FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL",
    "postgresql": "SELECT indexname AS name, indexdef AS made FROM pg_indexes WHERE schemaname = 'public'",
}


def schema(engine: Engine) -> dict[str, Any]:
    """Describe every table as the database knows it, in whatever order its parts were added."""
    found = inspect(engine)
    made = indexes(engine)
    return {
        table: {
            "columns": {column["name"]: plain(column) for column in found.get_columns(table)},
            "key": found.get_pk_constraint(table)["constrained_columns"],
            "indexes": {index["name"]: made[index["name"]] for index in found.get_indexes(table)},
            "foreign keys": {key["name"]: plain(key) for key in found.get_foreign_keys(table)},
            "checks": {" ".join(check["sqltext"].split()) for check in found.get_check_constraints(table)},
        }
        for table in found.get_table_names()
        if table != "alembic_version"
    }


def indexes(engine: Engine) -> dict[str, str]:
    """Return the statement that makes each index, by its name."""
    with engine.connect() as connection:
        return {row.name: row.made for row in connection.execute(text(_INDEXES[engine.dialect.name]))}


def plain(found: Any) -> Any:
    """Spell types and conditions out, which do not compare as objects."""
    if isinstance(found, Mapping):
        return {name: plain(value) for name, value in found.items()}
    return str(found) if isinstance(found, ClauseElement) else repr(found)


def test_each_version_can_be_undone_and_done_again(database, settings) -> None:
    newest = schema(database.engine)
    passed = []
    for version in VERSIONS:
        passed.append((version.revision, schema(database.engine)))
        migrations.downgrade(settings.database_url, version.down_revision or "base")
    assert schema(database.engine) == {}
    for revision, before in reversed(passed):
        migrations.upgrade(settings.database_url, revision)
        assert schema(database.engine) == before
    migrations.upgrade(settings.database_url)
    assert schema(database.engine) == newest


def test_the_schema_is_the_models(database, settings) -> None:
    migrated = schema(database.engine)
    migrations.downgrade(settings.database_url, "base")
    Model.metadata.create_all(database.engine)
    assert schema(database.engine) == migrated


def test_jobs_and_their_events_outlive_every_change_of_the_schema(database: Database, settings) -> None:
    job_id = add_job(database, priority=7)
    migrations.downgrade(settings.database_url, VERSIONS[-1].revision)
    migrations.upgrade(settings.database_url)
    with database.reading() as session:
        assert queries.get_job(session, job_id).priority == 7
        assert [event.name for event in queries.list_events(session, job_id)] == ["job_queued"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_worker_that_looks_meanwhile_stops_no_version(database, settings) -> None:
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            with suppress(DatabaseUnavailable), database.writing() as session:  # without its table, it is not there
                workers.record_heartbeat(session, "w1")

    worker = threading.Thread(target=look)
    worker.start()
    try:
        for _ in range(5):
            migrations.downgrade(settings.database_url, "base")
            migrations.upgrade(settings.database_url)
    finally:
        done.set()
        worker.join()
