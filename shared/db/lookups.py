"""What the lookups, listings, insertions and deletions of all tables share."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, delete, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import InstrumentedAttribute, Session

from shared.db.base import Model
from shared.errors import NotFound

Row = TypeVar("Row")


def visible(row: Row | None, name: str, owner: str | None = None) -> Row:
    """Return a row that exists and belongs to `owner`, if one is given; raise `NotFound`.

    The error for another owner's row is the same, so that ids cannot be probed.
    """
    if row is None or owner not in (None, getattr(row, "owner", None)):
        raise NotFound(f"There is no {name}.")
    return row


def equal(values: Mapping[InstrumentedAttribute[Any], Any]) -> list[ColumnElement[bool]]:
    """Return the conditions that columns equal the given values, where they are not None."""
    return [column == value for column, value in values.items() if value is not None]


def list_newest(
    session: Session, table: type[Row], *where: ColumnElement[bool], before: str | None, limit: int
) -> list[Row]:
    """Return up to `limit` rows with ids below `before`, in descending order of their ids."""
    key: InstrumentedAttribute[str] = table.id  # type: ignore[attr-defined]
    query = select(table).where(*where, *([key < before] if before is not None else []))
    return list(session.scalars(query.order_by(key.desc()).limit(limit)))


def insert_if_absent(session: Session, table: type[Model], **values: Any) -> None:
    """Insert a row, unless another transaction has just inserted one with the same key."""
    with suppress(IntegrityError), session.begin_nested():
        session.execute(insert(table).values(**values))


def delete_some(
    session: Session, key: InstrumentedAttribute[str], *where: ColumnElement[bool], limit: int
) -> list[str]:
    """Delete up to `limit` rows that nobody has locked; return their keys."""
    found = list(session.scalars(select(key).where(*where).limit(limit).with_for_update(skip_locked=True)))
    if found:
        session.execute(delete(key.class_).where(key.in_(found)))
    return found
