"""Idempotency keys: the responses of requests that were carried out, by the key that the client sent.

Invariant: a row is written in the transaction that carries out the request, so both are committed or neither is. Of two
concurrent requests with one key, the second waits for the first to commit and is rolled back.
"""

from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared import clock
from shared.db.models import IdempotencyKey
from shared.errors import IdempotencyConflict

#: How long a response is kept, in seconds.
KEPT_S = 24 * 3600.0


class StoredResponse(NamedTuple):
    """The response to a request, sent again when the request is repeated."""

    status: int
    location: str
    body: str


class AlreadyDone(Exception):
    """Another request with the key was first; the transaction has to be rolled back."""


def find(session: Session, owner: str, key: str, fingerprint: str) -> StoredResponse | None:
    """Return the stored response, or None; raise `IdempotencyConflict` if the key was used for another request."""
    found = session.get(IdempotencyKey, (owner, key))
    if found is None:
        return None
    if found.fingerprint != fingerprint:
        raise IdempotencyConflict
    return StoredResponse(found.status, found.location, found.body)


def store(session: Session, owner: str, key: str, fingerprint: str, response: StoredResponse) -> None:
    """Store the response to the request that this transaction carries out; raise `AlreadyDone`."""
    row = IdempotencyKey(owner=owner, key=key, fingerprint=fingerprint, created_at=clock.now(), **response._asdict())
    session.add(row)
    try:
        session.flush()
    except IntegrityError as error:
        raise AlreadyDone from error


def withdraw(session: Session, owner: str, key: str) -> None:
    """Delete the response of a request that this transaction undoes."""
    session.execute(delete(IdempotencyKey).where(IdempotencyKey.owner == owner, IdempotencyKey.key == key))


def forget(session: Session, limit: int) -> int:
    """Delete up to `limit` responses older than `KEPT_S`; return how many."""
    old = select(IdempotencyKey).where(IdempotencyKey.created_at <= clock.now() - timedelta(seconds=KEPT_S))
    found = list(session.scalars(old.limit(limit)))
    for row in found:
        session.delete(row)
    session.flush()
    return len(found)
