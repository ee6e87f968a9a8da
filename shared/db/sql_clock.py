"""The database's clock, in SQL: leases and deadlines are set and judged by one clock, whoever asks.

A worker's own clock may be wrong or step back; a lease written and read by it would end early or never.

Invariant: no Python time is ever compared with these columns: `lease_expires_at`, `retry_at`, `start_by`,
`dispatched_at`, `seen_at`,
`expires_at`, `next_at`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Float, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.functions import FunctionElement

from shared.db.base import UtcDateTime


class _Moment(FunctionElement[datetime]):
    """The present of the database, moved by some seconds."""

    type = UtcDateTime()
    inherit_cache = True


def now_plus(seconds: float | ColumnElement[float] | InstrumentedAttribute[float]) -> Any:
    """Write the moment that many seconds from now, a number or a column; negative seconds lie in the past."""
    return _Moment(literal(float(seconds), Float) if isinstance(seconds, int | float) else seconds)


def now() -> Any:
    """Write the present moment."""
    return now_plus(0.0)


@compiles(_Moment, "sqlite")
def _on_sqlite(element: _Moment, compiler: Any, **options: Any) -> str:
    # padded to the microseconds that SQLAlchemy stores, since SQLite compares moments as texts
    seconds = compiler.process(element.clauses, **options)
    return f"(strftime('%Y-%m-%d %H:%M:%f', 'now', {seconds} || ' seconds') || '000')"


@compiles(_Moment, "postgresql")
def _on_postgresql(element: _Moment, compiler: Any, **options: Any) -> str:
    return f"(statement_timestamp() + make_interval(secs => {compiler.process(element.clauses, **options)}))"
