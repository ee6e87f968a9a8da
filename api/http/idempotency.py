"""Requests that a client may send again: one that brings the same `Idempotency-Key` is carried out once.

The answer is kept beside what the request made, in one transaction; that to `POST /v1/keys` without what opens, so that
a repetition is told that there is a key, and never gets it. So there is no time in which a request is "still
in work": one that comes meanwhile waits for the first to commit, milliseconds, and gets the same answer.

Invariant: of any number of requests with one key of one owner, at any number of servers, one is carried out.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from flask import Request
from sqlalchemy.orm import Session

from api.access import Caller
from api.services import Services
from shared.db.access import idempotency
from shared.db.access.idempotency import AlreadyDone, Answer
from shared.errors import InvalidRequest

__all__ = ["Answer", "Once", "carry_out", "fingerprint", "make", "named"]

Made = TypeVar("Made")

HEADER = "Idempotency-Key"
#: On an answer that was given before.
REPLAYED_HEADER = "Idempotency-Replayed"
_KEY = re.compile(r"[!-~]{1,255}")


class Once(NamedTuple):
    """A request that is to be carried out once."""

    owner: str
    key: str
    fingerprint: str

    def keep(self, session: Session, answer: Answer) -> None:
        """Keep its answer in the transaction that carries it out; raise `AlreadyDone`."""
        idempotency.keep(session, self.owner, self.key, self.fingerprint, answer)


def fingerprint(request: Request, asked: Any) -> str:
    """Hash a request by what it asks for, not by how that is written: a form's boundaries differ each time."""
    what = [request.method, request.path, sorted(request.args.items(multi=True)), asked]
    return hashlib.sha256(json.dumps(what, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def named(request: Request, caller: Caller, asked: Any) -> Once | None:
    """Read a request's key, if it brings one; raise `InvalidRequest` for one that is none."""
    key = request.headers.get(HEADER)
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise InvalidRequest(f"{HEADER} has 1 to 255 visible ASCII characters.")
    return Once(caller.owner, key, fingerprint(request, asked))


def carry_out(services: Services, once: Once | None, act: Callable[[], Answer]) -> tuple[Answer, bool]:
    """Do `act`, which keeps its answer by `once`, unless it was done; return the answer and whether it was.

    Raises `IdempotencyConflict` if another request was made with the key.
    """
    if once is None:
        return act(), False
    found = _found(services, once)
    if found is not None:
        return found, True
    try:
        return act(), False
    except AlreadyDone:
        return _found(services, once) or act(), True


def make(
    services: Services,
    once: Once | None,
    act: Callable[[Callable[[Session, Made], None]], object],
    answer_to: Callable[[Made], Answer],
) -> tuple[Answer, bool]:
    """Make a thing by `act`, which calls what it is given in the transaction, unless it was made; as `carry_out`."""

    def once_made() -> Answer:
        answers: list[Answer] = []

        def note(session: Session, made: Made) -> None:
            answers.append(answer_to(made))
            if once:
                once.keep(session, answers[-1])

        act(note)
        return answers[-1]

    return carry_out(services, once, once_made)


def _found(services: Services, once: Once) -> Answer | None:
    with services.database.reading() as session:
        return idempotency.find(session, *once)
