"""SQLite as several processes need it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from sqlalchemy import text

from shared.db import sqlite
from shared.errors import Misconfigured


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_each_connection_has_the_pragmas(database) -> None:
    wanted = {"journal_mode": "wal", "busy_timeout": 30_000, "synchronous": 2, "foreign_keys": 1}
    with database.reading() as session:
        assert {name: session.scalar(text(f"PRAGMA {name}")) for name in wanted} == wanted


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
