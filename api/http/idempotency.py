"""Requests that a client may repeat: those that share an `Idempotency-Key` are carried out once.

A view looks for the stored response with `find`, and otherwise writes inside `writing`, which stores the response in
the same transaction. A request that arrives meanwhile waits for that commit, milliseconds, and replays the response, so
no request is ever "still in progress". The response to `POST /v1/keys` is stored without the secret.

Invariant: of any number of requests with one key of one owner, at any number of servers, one is carried out.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from flask import Request
from sqlalchemy.orm import Session

from api.access import Caller
from shared.db.access import idempotency
from shared.db.access.idempotency import AlreadyDone, StoredResponse
from shared.db.base import Database
from shared.errors import DatabaseUnavailable, InvalidRequest

__all__ = ["Once", "StoredResponse", "fingerprint", "once"]

HEADER = "Idempotency-Key"
#: On a response that was given before.
REPLAYED_HEADER = "Idempotency-Replayed"
_KEY = re.compile(r"[!-~]{1,255}")


class LinkedView(Protocol):
    """A model of a resource that links to itself."""

    links: dict[str, str]

    def model_dump_json(self) -> str:
        """Return the resource as JSON."""


@dataclass
class Once:
    """A request to carry out once, and its response as soon as there is one; without a key it is always carried out."""

    owner: str
    key: str | None
    fingerprint: str
    response: StoredResponse | None = None
    #: Whether the response is that of an earlier request.
    replayed: bool = False

    def find(self, database: Database) -> StoredResponse | None:
        """Return the response of an earlier request with this key; raise `IdempotencyConflict` if that differed."""
        if self.key is not None:
            with database.reading() as session:
                self.response = idempotency.find(session, self.owner, self.key, self.fingerprint)
            self.replayed = self.response is not None
        return self.response

    def created_id(self) -> str:
        """Return the id of what the request created, once it is answered."""
        assert self.response is not None
        return self.response.location.rpartition("/")[2]

    def set_response(self, view: LinkedView, status: int) -> None:
        """Respond with what the request created; on a repeat, set again, with how that is now."""
        self.response = StoredResponse(status, view.links["self"], view.model_dump_json())

    @contextmanager
    def writing(self, database: Database, name: str) -> Iterator[Session]:
        """Open the transaction that carries the request out; call `set_response` in it to store the response too.

        If another request with the key was first, this one's transaction is rolled back and the other's response taken.
        """
        try:
            with database.writing(name) as session:
                yield session
                assert self.response is not None
                if self.key is not None:
                    idempotency.store(session, self.owner, self.key, self.fingerprint, self.response)
        except AlreadyDone:
            if self.find(database) is None:  # a day old, it was deleted just now
                raise DatabaseUnavailable("The answer to this request has just expired; send it again.") from None

    def withdraw(self, session: Session) -> None:
        """Forget the response, in a transaction that undoes what the request did: a repetition is carried out anew."""
        if self.key is not None:
            idempotency.withdraw(session, self.owner, self.key)


def once(request: Request, caller: Caller, body: Any) -> Once:
    """Read a request's idempotency key, if it has one; raise `InvalidRequest` for an invalid one."""
    key = request.headers.get(HEADER)
    if key is not None and not _KEY.fullmatch(key):
        raise InvalidRequest(f"{HEADER} must have 1 to 255 visible ASCII characters.")
    return Once(caller.owner, key, fingerprint(request, body))


def fingerprint(request: Request, body: Any) -> str:
    """Hash what a request asks for, however it is written: a multipart boundary differs each time.

    What is hashed must stay: requests that are repeated across an upgrade would conflict with themselves.
    """
    content = [request.method, request.path, sorted(request.args.items(multi=True)), body]
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
