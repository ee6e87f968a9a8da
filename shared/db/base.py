"""Engines and sessions: SQLite by default, any SQLAlchemy URL by setting.

Two ways in, `reading()` and `writing()`: one short transaction each, committed or rolled back as a whole. A third,
`autocommit()`, is for one statement that needs none.
A database that is away becomes `DatabaseUnavailable`, so that callers need not know drivers.

Invariant: no transaction outlives its `with` block, and no block does slow work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from sqlalchemy import JSON, Connection, DateTime, Dialect, Engine, MetaData, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.types import TypeDecorator

from shared import failpoints
from shared.db import sqlite
from shared.errors import DatabaseUnavailable

_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
#: What PostgreSQL says, beyond a lost connection, when it cannot serve us now: read-only after a failover, and a
#: transaction it gave up waiting for.
_AWAY_STATES = ("25006", "25P03")
#: Bounds on what one statement, one lock and one idle transaction may take on PostgreSQL.
_POSTGRES_BOUNDS = "-c statement_timeout=30s -c lock_timeout=10s -c idle_in_transaction_session_timeout=30s"

#: Most connections of a process. None is closed for being one of many: those of threads that ask at the same time would
#: be opened and closed each time, which takes longer than what is asked.
_POOL: dict[str, Any] = {"pool_size": 15, "max_overflow": 0}


#: Where a session keeps what is to follow its commit.
_ON_COMMIT = "on_commit"


class UtcDateTime(TypeDecorator[datetime]):
    """An aware moment in UTC, also on SQLite, which forgets time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - the hook's shape
        """Store UTC; a naive moment is a mistake."""
        if value is not None and value.tzinfo is None:
            raise ValueError("naive datetime")
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - ditto
        """Return an aware moment."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Table(DeclarativeBase):
    """The root of the mapped tables."""

    metadata = MetaData(naming_convention=_NAMES)
    type_annotation_map: ClassVar = {dict[str, Any]: JSON(none_as_null=True), datetime: UtcDateTime}


class Database:
    """One engine and the two kinds of transaction on it."""

    def __init__(self, engine: Engine) -> None:
        """Wrap an engine made by `connect`."""
        self.engine = engine
        snapshot = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        self._reader = engine.execution_options(**snapshot) if engine.dialect.name == "postgresql" else engine
        alone = {"isolation_level": "AUTOCOMMIT"} if engine.dialect.name == "postgresql" else {sqlite.GLANCING: True}
        self._glancer = engine.execution_options(**alone)
        self._writer = engine.execution_options(**{sqlite.WRITING: True})

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a read-only transaction on one consistent snapshot."""
        with _translated(), Session(self._reader, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def autocommit(self) -> Iterator[Connection]:
        """Open a connection for one statement that reads: a snapshot in itself, it needs no transaction around it."""
        with _translated(), self._glancer.connect() as connection:
            yield connection

    @contextmanager
    def writing(self, name: str = "write") -> Iterator[Session]:
        """Open a transaction that writes; commit at the end, roll back on an error. Its `name` is for failpoints."""
        with _translated(), Session(self._writer, expire_on_commit=False) as session:
            with session.begin():
                yield session
                failpoints.reach(f"before_commit_{name}")
            failpoints.reach(f"after_commit_{name}")
            for act in session.info.get(_ON_COMMIT, ()):
                act()

    def check(self) -> None:
        """Raise `DatabaseUnavailable` unless a statement comes back."""
        with self.reading() as session:
            session.execute(text("SELECT 1"))


def on_commit(session: Session, act: Callable[..., object], *args: Any, **kwargs: Any) -> None:
    """Call `act` once the transaction of `Database.writing` is committed, and never if it is rolled back."""
    session.info.setdefault(_ON_COMMIT, []).append(partial(act, *args, **kwargs))


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeout) as error:
        raise DatabaseUnavailable() from error
    except DBAPIError as error:
        if not error.connection_invalidated and getattr(error.orig, "sqlstate", "") not in _AWAY_STATES:
            raise
        raise DatabaseUnavailable() from error


def connect(url: str) -> Database:
    """Open the database at a SQLAlchemy `url`; SQLite's folder is made if it is missing."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        if parsed.database and parsed.database != ":memory:":
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(parsed, module=sqlite.driver(), **_POOL)
        sqlite.prepare(engine)
        return Database(engine)
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    arguments = {"connect_timeout": 5, "options": _POSTGRES_BOUNDS}
    return Database(create_engine(parsed, pool_pre_ping=True, pool_timeout=5, connect_args=arguments, **_POOL))
