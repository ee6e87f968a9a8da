"""SQLite as a database that several processes write to: its driver, pragmas and transactions.

The driver is the `pysqlite3` wheel, since the SQLite of many systems has the WAL-reset corruption bug
(fixed in 3.51.3). Writers take the write lock as they begin: a deferred transaction that reads first and
writes later fails at once with "database is locked", whatever the timeout says.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import Any

from sqlalchemy import Connection, Engine, event

from shared.errors import Misconfigured

#: Execution option of a connection that is going to write.
WRITING = "atelier_writing"
#: The same of one that reads by a single statement, for which no transaction is begun.
GLANCING = "atelier_glancing"
#: The first release without the WAL-reset corruption bug.
_LEAST_VERSION = (3, 51, 3)

_PRAGMAS = (
    "journal_mode=WAL",
    "busy_timeout=30000",  # the tail under four writing processes is 1 to 2 s; at 5 s some gave up
    "synchronous=FULL",  # an accepted job survives a power cut
    "foreign_keys=ON",
    "journal_size_limit=67108864",
)


def driver() -> ModuleType:
    """Load the SQLite driver, bound to its own SQLite library.

    TensorFlow exports the symbols of an older SQLite, which the dynamic linker would prefer: lazily bound,
    one process would even mix the two. Binding at once and to itself first keeps the wheel's own.
    """
    flags = sys.getdlopenflags()
    sys.setdlopenflags(os.RTLD_NOW | getattr(os, "RTLD_DEEPBIND", 0))
    try:
        from pysqlite3 import dbapi2
    except ImportError:
        import sqlite3 as dbapi2
    finally:
        sys.setdlopenflags(flags)
    if dbapi2.sqlite_version_info < _LEAST_VERSION:
        raise Misconfigured(
            f"SQLite {dbapi2.sqlite_version} can corrupt a database that several processes write to; "
            "install the pysqlite3 wheel (SQLite 3.51.3 or newer) or set ATELIER_DATABASE_URL to PostgreSQL."
        )
    module: ModuleType = dbapi2
    return module


def prepare(engine: Engine) -> None:
    """Give each new connection the pragmas, and each transaction the right BEGIN."""

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver must not begin transactions by itself
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        if not options.get(GLANCING, False):
            connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get(WRITING, False) else "BEGIN")
