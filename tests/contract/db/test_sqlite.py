"""SQLite as several processes need it, in a library that may keep a write-ahead log and in one that may not."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest
from sqlalchemy import text
from structlog.testing import CapturingLogger

import migrations
from shared.db import sqlite
from shared.db.base import Database, connect
from shared.errors import DatabaseUnavailable, Misconfigured
from tests.support.factories import add_job

#: One of several processes with an old library: it adds to a number that it has read, over and over.
_COUNT = """
import sys
sys.modules["pysqlite3"] = None  # as where there is no wheel of it
from sqlalchemy import text
from shared.db import sqlite
from shared.db.base import connect
sqlite._FIXED_VERSIONS = ((99, 0, 0),)
database = connect(sys.argv[1])
for _ in range(100):
    with database.reading() as session:
        assert session.scalar(text("SELECT n FROM counter")) >= 0
    with database.writing() as session:
        n = session.scalar(text("SELECT n FROM counter"))
        session.execute(text("UPDATE counter SET n = :n"), {"n": n + 1})
        session.execute(text("INSERT INTO steps VALUES (:n)"), {"n": n + 1})
"""


@pytest.fixture
def old_library(monkeypatch) -> Iterator[ModuleType]:
    """Python's own SQLite, taken for one that has the WAL-reset bug, whatever its version is."""
    monkeypatch.setitem(sys.modules, "pysqlite3", None)
    monkeypatch.setattr(sqlite, "_FIXED_VERSIONS", ((99, 0, 0),))
    sqlite._warn_about_rollback_journal.cache_clear()
    yield sqlite3
    sqlite._warn_about_rollback_journal.cache_clear()


def journal_of(database: Database) -> str:
    with database.reading() as session:
        return str(session.scalar(text("PRAGMA journal_mode")))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_each_connection_has_the_pragmas(database) -> None:
    journal = "wal" if sqlite.can_use_wal(sqlite.driver().sqlite_version_info) else "truncate"
    wanted = {"journal_mode": journal, "busy_timeout": 30_000, "synchronous": 2, "foreign_keys": 1}
    with database.reading() as session:
        assert {name: session.scalar(text(f"PRAGMA {name}")) for name in wanted} == wanted


def test_a_sqlite_that_lacks_what_is_asked_of_it_is_refused_with_the_mend(monkeypatch) -> None:
    monkeypatch.setattr(sqlite, "_LEAST_VERSION", (99, 0, 0))
    with pytest.raises(Misconfigured, match=r"too old.*pysqlite3.*PostgreSQL"):
        sqlite.driver()


@pytest.mark.parametrize(
    ("version", "trusted"),
    [
        ((3, 40, 1), False),
        ((3, 44, 5), False),
        ((3, 44, 6), True),
        ((3, 45, 9), False),
        ((3, 50, 6), False),
        ((3, 50, 7), True),
        ((3, 51, 2), False),
        ((3, 51, 3), True),
        ((3, 53, 0), True),
        ((4, 0, 0), True),
    ],
)
def test_only_a_mended_library_is_trusted_with_a_write_ahead_log(version, trusted) -> None:
    assert sqlite.can_use_wal(version) is trusted


def test_an_old_library_keeps_a_rollback_journal_and_says_so_once(old_library, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(sqlite, "log", said := CapturingLogger())
    opened = [connect(f"sqlite:///{tmp_path}/{name}.db") for name in "ab"]
    assert [database.engine.dialect.dbapi for database in opened] == [old_library, old_library]
    assert [journal_of(database) for database in opened] == ["truncate", "truncate"]
    [told] = said.calls
    assert (told.method_name, told.args) == ("warning", ("wal_avoided",))
    assert f"SQLite {sqlite3.sqlite_version}" in told.kwargs["reason"]
    assert "pysqlite3" in told.kwargs["fix"]
    for database in opened:
        database.engine.dispose()


def test_an_old_library_takes_a_database_out_of_wal_and_loses_nothing(old_library, tmp_path, migrated) -> None:
    path = tmp_path / "atelier.db"
    with closing(sqlite3.connect(path)) as newer, closing(sqlite3.connect(migrated)) as template:
        template.backup(newer)
        assert newer.execute("PRAGMA journal_mode=WAL").fetchone() == ("wal",)
        newer.execute("CREATE TABLE kept AS SELECT 7 AS n")
        newer.commit()
        crashed = {name: Path(f"{path}{name}").read_bytes() for name in ("", "-wal")}  # as a power cut leaves them
    for name, content in crashed.items():
        Path(f"{path}{name}").write_bytes(content)
    database = connect(f"sqlite:///{path}")
    assert journal_of(database) == "truncate"
    with database.reading() as session:
        assert session.scalar(text("SELECT n FROM kept")) == 7
    add_job(database)
    database.engine.dispose()
    assert not Path(f"{path}-wal").exists()


def test_an_old_library_leaves_alone_a_log_that_another_writes_to(old_library, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(sqlite, "_LOCK_TIMEOUT_S", 0.3)
    path = tmp_path / "atelier.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("CREATE TABLE counter AS SELECT 0 AS n")
        other.commit()
        database = connect(f"sqlite:///{path}")
        with pytest.raises(DatabaseUnavailable), database.writing() as session:
            session.execute(text("UPDATE counter SET n = 1"))
    with database.writing() as session:
        session.execute(text("UPDATE counter SET n = 1"))
    database.engine.dispose()


@pytest.mark.slow
def test_processes_with_an_old_library_write_one_database_at_once(tmp_path) -> None:
    path = tmp_path / "atelier.db"
    with closing(sqlite3.connect(path)) as made:
        made.execute("PRAGMA journal_mode=WAL")  # which all of them want to end at the same moment
        made.execute("CREATE TABLE counter AS SELECT 0 AS n")
        made.execute("CREATE TABLE steps (n INTEGER PRIMARY KEY)")
        made.commit()
    command = [sys.executable, "-c", _COUNT, f"sqlite:///{path}"]
    writers = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    said = [writer.communicate(timeout=120)[1] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0, 0, 0], said
    with closing(sqlite3.connect(path)) as left:
        assert left.execute("SELECT n, (SELECT count(*) FROM steps) FROM counter").fetchone() == (400, 400)
        assert left.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert left.execute("PRAGMA journal_mode").fetchone() == ("delete",), "no longer in WAL mode"


def test_the_schema_comes_and_goes_in_an_old_library(old_library, tmp_path) -> None:
    url = f"sqlite:///{tmp_path}/atelier.db"
    migrations.upgrade(url)
    migrations.downgrade(url, "base")
    migrations.upgrade(url)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux' linker prefers what is loaded")
@pytest.mark.parametrize("order", ["tensorflow, sqlite", "sqlite, tensorflow"])
def test_tensorflow_does_not_swap_the_sqlite_library(order: str) -> None:
    own = sqlite.driver().sqlite_version
    steps = {"tensorflow": "import tensorflow", "sqlite": "d = sqlite.driver()"}
    code = ["from shared.db import sqlite", *(steps[name] for name in order.split(", "))]
    code.append("print('found', d.connect(':memory:').execute('select sqlite_version()').fetchone()[0])")
    run = subprocess.run(
        [sys.executable, "-c", "\n".join(code)], capture_output=True, text=True, check=False, timeout=120
    )
    assert run.stdout.split("found ")[1].strip() == own, run.stderr
