"""How the databases carry out what is asked of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, event
from sqlalchemy.orm import Session

from shared.db.base import Database


def plans(database: Database, question: Callable[[Session], object]) -> list[str]:
    """Ask, then have each statement about jobs that this took explained; what it wrote is undone."""
    with database.writing() as session, made_by(database.engine) as made:
        question(session)
        session.rollback()
    explain = "EXPLAIN " if database.engine.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN "
    with database.engine.connect() as connection:
        return [
            "\n".join(str(row[-1]) for row in connection.exec_driver_sql(explain + statement, parameters))
            for statement, parameters in made
        ]


@contextmanager
def made_by(engine: Engine) -> Iterator[list[tuple[str, object]]]:
    """Collect the statements about jobs that are made meanwhile."""
    made: list[tuple[str, object]] = []

    def keep(_connection, _cursor, statement, parameters, _context, _many) -> None:
        if "FROM jobs" in statement or "UPDATE jobs" in statement:
            made.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", keep)
    try:
        yield made
    finally:
        event.remove(engine, "before_cursor_execute", keep)


def reads_all(plan: str) -> bool:
    """Say whether a plan reads the table from end to end, in the words of either database."""
    return any(
        "Seq Scan on jobs" in line or ("SCAN jobs" in line and "INDEX" not in line) for line in plan.splitlines()
    )
