"""SQLite for several writing processes: driver, journal mode, pragmas and transactions.

The driver is the `pysqlite3` wheel where there is one, else Python's own. Many systems ship a SQLite with the WAL-reset
bug, which can, rarely, corrupt a database whose write-ahead log has several writers. Such a library uses a rollback
journal instead, in which a writer and the readers block one another. Writing transactions take the write lock when they
begin: a deferred one that reads and then writes can fail at once with "database is locked", despite the timeout.

Invariant: a connection of a library that has the bug never writes to a write-ahead log.
"""

import functools
import os
import random
import sys
import time
from types import ModuleType
from typing import Any

from sqlalchemy import Connection, Engine, event

from shared import logs
from shared.errors import DatabaseUnavailable, Misconfigured

log = logs.get(__name__)

#: Execution option of a connection whose transactions may not write.
READING = "atelier_reading"
#: Execution option of a connection whose transactions write.
WRITING = "atelier_writing"
#: Execution option of a connection for single statements, without transactions.
AUTOCOMMIT = "atelier_autocommit"
#: The first release with RETURNING.
_LEAST_VERSION = (3, 35, 0)
#: The releases that fix the WAL-reset bug: the last for all later ones, the others for their own series.
#: Source: https://www.sqlite.org/wal.html#walresetbug
_FIXED_VERSIONS = ((3, 44, 6), (3, 50, 7), (3, 51, 3))
#: What to do about a library that is too old.
FIX = (
    "Install the pysqlite3 wheel where there is one for this machine, or a Python whose SQLite is 3.51.3 or newer, "
    "or set ATELIER_DATABASE_URL to PostgreSQL."
)

#: How long a connection waits for a lock, in seconds. With four writing processes most waits are below 2 s, but some
#: exceeded 5 s.
_LOCK_TIMEOUT_S = 30
_PRAGMAS = (
    f"busy_timeout={_LOCK_TIMEOUT_S * 1000}",  # first, since reading the journal mode waits while others commit
    "journal_mode={journal}",
    "synchronous=FULL",  # accepted jobs survive a power cut
    "foreign_keys=ON",
    "journal_size_limit=67108864",
)
#: Truncating is flushed to disk; a deleted journal could reappear after a power cut and undo the last commit.
_ROLLBACK = "TRUNCATE"


def driver() -> ModuleType:
    """Load the SQLite driver so that it uses its own SQLite library.

    TensorFlow exports the symbols of an older SQLite, which the dynamic linker would prefer; lazy binding could even
    mix the two. Immediate, deep binding makes the driver use its own symbols.
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
        raise Misconfigured(f"SQLite {dbapi2.sqlite_version} is too old. {FIX}")
    module: ModuleType = dbapi2
    return module


def can_use_wal(version: tuple[int, ...]) -> bool:
    """Return whether a library of that version is free of the WAL-reset bug."""
    return version >= _FIXED_VERSIONS[-1] or any(
        fixed[:2] == version[:2] and version >= fixed for fixed in _FIXED_VERSIONS
    )


def configure(engine: Engine) -> None:
    """Set up journal mode and pragmas of new connections, the BEGIN of transactions, and the refusal of writes."""
    module: Any = engine.dialect.dbapi
    with_wal = can_use_wal(module.sqlite_version_info)
    if not with_wal:
        _warn_about_rollback_journal(module.sqlite_version)

    @event.listens_for(engine, "do_connect")
    def _on_opening(_dialect: Any, _record: Any, arguments: Any, options: Any) -> Any:
        return None if with_wal else _without_wal(module, *arguments, **options)  # None opens it as usual

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver must not begin transactions itself
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}".format(journal="WAL" if with_wal else _ROLLBACK))

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        if not options.get(AUTOCOMMIT, False):
            connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get(WRITING, False) else "BEGIN")

    event.listen(engine, "before_cursor_execute", _refuse_to_write)


def _refuse_to_write(connection: Connection, _cursor: Any, _sql: str, _values: Any, context: Any, _many: bool) -> None:
    """Raise `DatabaseUnavailable` for a statement that writes in a transaction that reads; raw SQL is not checked.

    `PRAGMA query_only` would refuse that too, but each change of it makes SQLite compile the connection's statements
    anew: 0.15 ms.
    """
    writes = context.isinsert or context.isupdate or context.isdelete
    if writes and connection.get_execution_options().get(READING, False):
        raise DatabaseUnavailable("This transaction may only read.")


def _without_wal(module: Any, *arguments: Any, **options: Any) -> Any:
    """Open a database and leave WAL mode, in case a newer library has set it.

    SQLite leaves WAL mode only while there is no other connection, including one that waits to do the same. So each
    closes its connection and retries after a random pause.
    """
    deadline = time.monotonic() + _LOCK_TIMEOUT_S
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
def _warn_about_rollback_journal(version: str) -> None:
    """Log once per process why the database is slower than it could be."""
    reason = f"SQLite {version} has the WAL-reset bug, so the database uses a rollback journal, which is slower"
    log.warning("wal_avoided", reason=reason, fix=FIX)
