"""Making and revoking API keys."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

from sqlalchemy.orm import Session

from api.access import Caller
from api.schemas.admin import OWNER, KeyRequest
from api.services import Services
from shared import logs
from shared.db.access import keys
from shared.db.admin import audit
from shared.db.admin.audit import Actor
from shared.db.base import Database
from shared.db.models import ApiKey

#: Characters of a name that are kept where it cannot be an owner as it is.
_READABLE = 40

log = logs.get(__name__)


def _note_nothing(session: Session, made: Any) -> None:
    """Leave what was made alone."""


def new_key(
    database: Database, actor: Actor, asked: KeyRequest, *, note: Callable[[Session, ApiKey], None] = _note_nothing
) -> tuple[ApiKey, str]:
    """Make a key; return it, and in full what opens with it. `note` is called in the transaction."""
    key = ApiKey(**asked.model_dump(exclude={"owner"}), owner=asked.owner or _as_owner(asked.name))
    with database.writing("create_key") as session:
        token = keys.create(session, key)
        audit.record(session, actor, "key.create", key.id, details={"owner": key.owner, "role": key.role})
        note(session, key)
    log.info("key_created", made=key.id, owner=key.owner, role=key.role)
    return key, token


def revoke_key(services: Services, caller: Caller, key_id: str) -> None:
    """Have a key open nothing any more; raise `NotFound`, or `IllegalTransition` for the last operator's."""
    with services.database.writing("revoke_key") as session:
        keys.revoke(session, key_id)
        audit.record(session, caller, "key.revoke", key_id)
    log.info("key_revoked", revoked=key_id)


def _as_owner(name: str) -> str:
    """Make an owner of a name: the name where it can be one, else one that no other name leads to."""
    if re.fullmatch(OWNER, name):
        return name
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:_READABLE].strip("-")
    return f"{readable}-{hashlib.sha256(name.encode()).hexdigest()[:16]}".lstrip("-")
