"""Engines and sessions, for SQLite and PostgreSQL.

`reading()` and `writing()` open one short transaction each; `autocommit()` is for a single reading statement. Errors of
a database that is down become `DatabaseUnavailable`, so that callers need not know the drivers.

Invariant: no transaction outlives its `with` block.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from sqlalchemy import JSON, Connection, DateTime, Dialect, Engine, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.schema import CheckConstraint, MetaData
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
#: SQLSTATEs that mean PostgreSQL is unavailable though connected: read-only after a failover, and an idle transaction
#: that timed out.
_UNAVAILABLE_STATES = ("25006", "25P03")
#: Timeouts of statements, locks and idle transactions on PostgreSQL.
_POSTGRES_TIMEOUTS = "-c statement_timeout=30s -c lock_timeout=10s -c idle_in_transaction_session_timeout=30s"
#: Connections of a process: as many as SQLAlchemy opens by default, 5 kept and 10 of overflow, but all of them kept.
#: Overflowing connections are closed after each use, and opening one takes longer than most queries. The threads share
#: them, since transactions are short: one that finds none free waits.
_POOL: dict[str, Any] = {"pool_size": 15, "max_overflow": 0}
#: Where a session keeps what is to follow its commit.
_ON_COMMIT = "on_commit"


class UtcDateTime(TypeDecorator[datetime]):
    """A timezone-aware datetime in UTC, also on SQLite, which stores no time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - required by the hook
        """Convert to UTC; raise `ValueError` for a naive datetime."""
        if value is not None and value.tzinfo is None:
            raise ValueError("naive datetime")
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - ditto
        """Return a timezone-aware datetime."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Model(DeclarativeBase):
    """The declarative base of all tables."""

    metadata = MetaData(naming_convention=_NAMES)
    type_annotation_map: ClassVar = {dict[str, Any]: JSON(none_as_null=True), datetime: UtcDateTime}


def one_of(column: str, values: type[StrEnum]) -> CheckConstraint:
    """Return the check constraint that a column has a value of an enum."""
    return CheckConstraint(f"{column} IN ({', '.join(repr(str(value)) for value in values)})", name=column)


def partial_index(condition: str) -> dict[str, Any]:
    """Return the options that limit an index to the rows that match a condition."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


class Database:
    """An engine and the transactions on it."""

    def __init__(self, engine: Engine) -> None:
        """Wrap an engine created by `connect`."""
        self.engine = engine
        if engine.dialect.name == "postgresql":
            # by default each statement would see a snapshot of its own, so that one answer's queries could contradict
            # each other; SQLite's transactions have a single snapshot anyway
            read: dict[str, Any] = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
            single: dict[str, Any] = {"isolation_level": "AUTOCOMMIT"}
        else:
            read, single = {sqlite.READING: True}, {sqlite.AUTOCOMMIT: True}
        self._reader = engine.execution_options(**read)
        self._autocommit = engine.execution_options(**single)
        self._writer = engine.execution_options(**{sqlite.WRITING: True})

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a read-only transaction on one consistent snapshot; an attempt to write raises `DatabaseUnavailable`.

        PostgreSQL refuses the write itself, as it does after a failover; `sqlite.configure` refuses it for SQLite.
        """
        with _translated(), Session(self._reader, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def autocommit(self) -> Iterator[Connection]:
        """Open a connection for a single reading statement, without a transaction."""
        with _translated(), self._autocommit.connect() as connection:
            yield connection

    @contextmanager
    def writing(self, name: str = "write") -> Iterator[Session]:
        """Open a writing transaction; commit at the end, roll back on an error. `name` is for failpoints."""
        with _translated(), Session(self._writer, expire_on_commit=False) as session:
            with session.begin():
                yield session
                failpoints.reach(f"before_commit_{name}")
            failpoints.reach(f"after_commit_{name}")
            for act in session.info.get(_ON_COMMIT, ()):
                act()

    def check(self) -> None:
        """Raise `DatabaseUnavailable` if the database does not answer."""
        with self.reading() as session:
            session.execute(text("SELECT 1"))


def on_commit(session: Session, act: Callable[..., object], *args: Any, **kwargs: Any) -> None:
    """Call `act` once the transaction of `Database.writing` is committed, and never if it is rolled back.

    `act` must not raise: the caller would take its error for one of the transaction, which is committed by then.
    """
    session.info.setdefault(_ON_COMMIT, []).append(partial(act, *args, **kwargs))


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeout) as error:
        raise DatabaseUnavailable() from error
    except DBAPIError as error:
        if not error.connection_invalidated and getattr(error.orig, "sqlstate", "") not in _UNAVAILABLE_STATES:
            raise
        raise DatabaseUnavailable() from error


def connect(url: str) -> Database:
    """Open the database at a SQLAlchemy `url`; create the folder of a SQLite file."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        if parsed.database and parsed.database != ":memory:":
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(parsed, module=sqlite.driver(), **_POOL)
        sqlite.configure(engine)
        return Database(engine)
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    arguments = {"connect_timeout": 5, "options": _POSTGRES_TIMEOUTS}
    return Database(create_engine(parsed, pool_pre_ping=True, pool_timeout=5, connect_args=arguments, **_POOL))
