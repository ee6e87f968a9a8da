"""The schema goes up, down and up again, one version at a time, and agrees with the models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alembic.script import ScriptDirectory
from sqlalchemy import ClauseElement, Engine, inspect

import migrations
import shared.db.models  # noqa: F401 - fills Table.metadata
from shared.db.base import Table

#: All versions, the newest first.
VERSIONS = list(ScriptDirectory(str(Path(migrations.__file__).parent)).walk_revisions())


def schema(engine: Engine) -> dict[str, Any]:
    """Describe every table as the database knows it, in whatever order its parts were added."""
    found = inspect(engine)
    return {
        table: {
            "columns": {column["name"]: plain(column) for column in found.get_columns(table)},
            "key": found.get_pk_constraint(table)["constrained_columns"],
            "indexes": {index["name"]: plain(index) for index in found.get_indexes(table)},
            "foreign keys": {key["name"]: plain(key) for key in found.get_foreign_keys(table)},
            "checks": {" ".join(check["sqltext"].split()) for check in found.get_check_constraints(table)},
        }
        for table in found.get_table_names()
        if table != "alembic_version"
    }


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
    Table.metadata.create_all(database.engine)
    assert schema(database.engine) == migrated
