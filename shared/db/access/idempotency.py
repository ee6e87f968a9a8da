"""Requests that were carried out, by the key that their client gave them.

Invariant: a request's row is written in the transaction that carries it out, so both are there or neither is; of two
requests with one key at a time, the second waits for the first to commit, and is undone whole.
"""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared import clock
from shared.db.models import IdempotencyKey
from shared.errors import IdempotencyConflict

#: How long an answer is kept, in seconds.
KEPT_S = 24 * 3600.0


class Answer(NamedTuple):
    """What a request was answered, and will be again."""

    status: int
    location: str
    body: str


class AlreadyDone(Exception):
    """Another request with the key was first; this one's transaction is to be rolled back."""


def find(session: Session, owner: str, key: str, fingerprint: str) -> Answer | None:
    """Return the answer to a request that was carried out; raise `IdempotencyConflict` if it was another one."""
    found = session.get(IdempotencyKey, (owner, key))
    if found is None:
        return None
    if found.fingerprint != fingerprint:
        raise IdempotencyConflict
    return Answer(found.status, found.location, found.body)


def keep(session: Session, owner: str, key: str, fingerprint: str, answer: Answer) -> None:
    """Keep the answer to a request that this transaction carries out; raise `AlreadyDone`."""
    row = IdempotencyKey(owner=owner, key=key, fingerprint=fingerprint, created_at=clock.now(), **answer._asdict())
    session.add(row)
    try:
        session.flush()
    except IntegrityError as error:
        raise AlreadyDone from error


def forget(session: Session, limit: int) -> int:
    """Delete up to `limit` answers older than a day; return how many."""
    old = select(IdempotencyKey).where(IdempotencyKey.created_at <= clock.now() - timedelta(seconds=KEPT_S))
    found = list(session.scalars(old.limit(limit)))
    for row in found:
        session.execute(delete(IdempotencyKey).where(IdempotencyKey.owner == row.owner, IdempotencyKey.key == row.key))
    return len(found)
