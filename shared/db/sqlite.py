"""SQLite as a database that several processes write to: its driver, journal, pragmas and transactions.

The driver is the `pysqlite3` wheel where there is one, else Python's own. The SQLite of many systems has the WAL-reset
bug, by which a write-ahead log that several connections write to can corrupt the database, if rarely. It is in nothing
but that log, so such a library keeps a rollback journal instead: a writer and the readers then wait for one another.
Writers take the write lock as they begin: a deferred transaction that reads first and writes later fails at once with
"database is locked", whatever the timeout says.

Invariant: no connection of a library that has the bug ever writes to a write-ahead log.
"""

from __future__ import annotations

import functools
import os
import random
import sys
import time
from types import ModuleType
from typing import Any

from sqlalchemy import Connection, Engine, event

from shared import logs
from shared.errors import Misconfigured

log = logs.get(__name__)

#: Execution option of a connection that is going to write.
WRITING = "atelier_writing"
#: The same of one that reads by a single statement, for which no transaction is begun.
GLANCING = "atelier_glancing"
#: The first release that knows all that is asked of it; RETURNING came last.
_LEAST_VERSION = (3, 35, 0)
#: The releases that mended the WAL-reset bug: the last holds for all that follow, the others for their own series.
#: Source: https://www.sqlite.org/wal.html#walresetbug
_MENDED = ((3, 44, 6), (3, 50, 7), (3, 51, 3))
#: What to do about a library that is too old.
MEND = (
    "Install the pysqlite3 wheel where there is one for this machine, or a Python whose SQLite is 3.51.3 or newer, "
    "or set ATELIER_DATABASE_URL to PostgreSQL."
)

#: How long a connection waits for others, in seconds: the tail under four writing processes is 1 to 2 s; at 5 s some
#: gave up.
_PATIENCE_S = 30
_PRAGMAS = (
    f"busy_timeout={_PATIENCE_S * 1000}",  # first, since the journal's mode cannot be read while another commits
    "journal_mode={journal}",
    "synchronous=FULL",  # an accepted job survives a power cut
    "foreign_keys=ON",
    "journal_size_limit=67108864",
)
#: With FULL, an emptied journal is flushed to the disk too; one that is removed could come back after a power cut and
#: undo the last commit.
_ROLLBACK = "TRUNCATE"


def driver() -> ModuleType:
    """Load the SQLite driver, bound to its own SQLite library.

    TensorFlow exports the symbols of an older SQLite, which the dynamic linker would prefer: lazily bound,
    one process would even mix the two. Binding at once and to itself first keeps the driver's own.
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
        raise Misconfigured(f"SQLite {dbapi2.sqlite_version} is too old. {MEND}")
    module: ModuleType = dbapi2
    return module


def keeps_wal(version: tuple[int, ...]) -> bool:
    """Tell whether a library of that version may be trusted with a write-ahead log."""
    return version >= _MENDED[-1] or any(mended[:2] == version[:2] and version >= mended for mended in _MENDED)


def prepare(engine: Engine) -> None:
    """Give each new connection the journal and the pragmas, and each transaction the right BEGIN."""
    module: Any = engine.dialect.dbapi
    with_wal = keeps_wal(module.sqlite_version_info)
    if not with_wal:
        _tell_of_rollback(module.sqlite_version)

    @event.listens_for(engine, "do_connect")
    def _on_opening(_dialect: Any, _record: Any, arguments: Any, options: Any) -> Any:
        return None if with_wal else _without_wal(module, *arguments, **options)  # None: open it as usual

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver must not begin transactions by itself
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}".format(journal="WAL" if with_wal else _ROLLBACK))

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        if not options.get(GLANCING, False):
            connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get(WRITING, False) else "BEGIN")


def _without_wal(module: Any, *arguments: Any, **options: Any) -> Any:
    """Open a database and take it out of WAL mode, should a newer library have left it there.

    SQLite does that for the only connection alone, and any other that waits to do the same is one: so each lets go and
    comes again after a time of its own.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        connection = module.connect(*arguments, **options)
        try:
            connection.execute("PRAGMA busy_timeout=100")
            connection.execute(f"PRAGMA journal_mode={_ROLLBACK}").fetchall()
        except module.OperationalError as error:
            connection.close()
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(random.uniform(0.01, 0.1))  # noqa: S311 - nothing to guess here
        else:
            return connection


@functools.cache
def _tell_of_rollback(version: str) -> None:
    """Log, once in a process, why the database is slower than it could be."""
    reason = f"SQLite {version} has the WAL-reset bug, so the database keeps a rollback journal, which is slower"
    log.warning("wal_avoided", reason=reason, mend=MEND)
