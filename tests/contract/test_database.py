"""SQLite as several processes need it."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
from sqlalchemy import text

from shared.db import sqlite
from shared.db.base import connect
from shared.errors import DatabaseUnavailable, Misconfigured


def pragma(database, name: str):
    with database.reading() as session:
        return session.scalar(text(f"PRAGMA {name}"))


def test_each_connection_has_the_pragmas(database) -> None:
    found = {name: pragma(database, name) for name in ("journal_mode", "busy_timeout", "synchronous", "foreign_keys")}
    assert found == {"journal_mode": "wal", "busy_timeout": 30_000, "synchronous": 2, "foreign_keys": 1}


def test_writers_that_read_first_never_meet_a_lock_error(database) -> None:
    with database.writing() as session:
        session.execute(text("CREATE TABLE counter (n INTEGER)"))
        session.execute(text("INSERT INTO counter VALUES (0)"))

    def count() -> None:
        for _ in range(50):
            with database.writing() as session:
                n = session.scalar(text("SELECT n FROM counter"))
                session.execute(text("UPDATE counter SET n = :n"), {"n": n + 1})

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with database.reading() as session:
        assert session.scalar(text("SELECT n FROM counter")) == 200


def test_a_database_that_is_away_is_said_to_be(tmp_path) -> None:
    url = f"postgresql://nobody@127.0.0.1:1/{tmp_path.name}"
    with pytest.raises(DatabaseUnavailable):
        connect(url).check()


def test_a_sqlite_that_corrupts_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(sqlite, "_LEAST_VERSION", (99, 0, 0))
    with pytest.raises(Misconfigured, match="pysqlite3"):
        sqlite.driver()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the wheel and the hazard are Linux'")
@pytest.mark.parametrize("order", ["tensorflow, sqlite", "sqlite, tensorflow"])
def test_tensorflow_does_not_swap_the_sqlite_library(order: str) -> None:
    steps = {"tensorflow": "import tensorflow", "sqlite": "d = sqlite.driver()"}
    code = ["from shared.db import sqlite", *(steps[name] for name in order.split(", "))]
    code.append("print('found', d.connect(':memory:').execute('select sqlite_version()').fetchone()[0])")
    run = subprocess.run(
        [sys.executable, "-c", "\n".join(code)], capture_output=True, text=True, check=False, timeout=120
    )
    found = run.stdout.split("found ")[1].split(".")
    assert tuple(int(part) for part in found) >= (3, 51, 3), run.stderr
