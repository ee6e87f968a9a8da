"""The database's clock as a SQL expression, so that leases and deadlines are set and checked by one clock.

A worker's own clock may be wrong or step back, and a lease that depends on it would end early or never. In SQL these
columns are compared with this clock only: `lease_expires_at`, `retry_at`, `start_by`, `dispatched_at`, `seen_at`,
`expires_at`, `next_at`.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Float, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.functions import FunctionElement

from shared.db.base import UtcDateTime


class _Now(FunctionElement[datetime]):
    """The current time of the database plus some seconds."""

    type = UtcDateTime()
    inherit_cache = True


def now_plus(seconds: float | ColumnElement[float] | InstrumentedAttribute[float]) -> Any:
    """Return the expression for the current time plus `seconds`, a number or a column."""
    return _Now(literal(float(seconds), Float) if isinstance(seconds, int | float) else seconds)


def now() -> Any:
    """Return the expression for the current time."""
    return now_plus(0.0)


@compiles(_Now, "sqlite")
def _on_sqlite(element: _Now, compiler: Any, **options: Any) -> str:
    # padded to the microseconds that SQLAlchemy stores, since SQLite compares datetimes as text
    seconds = compiler.process(element.clauses, **options)
    return f"(strftime('%Y-%m-%d %H:%M:%f', 'now', {seconds} || ' seconds') || '000')"


@compiles(_Now, "postgresql")
def _on_postgresql(element: _Now, compiler: Any, **options: Any) -> str:
    return f"(statement_timestamp() + make_interval(secs => {compiler.process(element.clauses, **options)}))"
