"""Making and revoking API keys.

Invariant: the same name always gives the same owner, or a new key for it would not see its earlier jobs.
"""

import hashlib
import re

from sqlalchemy.orm import Session

from api.access import Caller
from api.schemas.admin import OWNER, KeyRequest
from shared import logs
from shared.db.access import keys
from shared.db.admin import audit
from shared.db.admin.audit import Actor
from shared.db.base import Database, on_commit
from shared.db.models import ApiKey

#: How many characters of a name its owner begins with, where the name itself is not valid as an owner.
_READABLE = 40

log = logs.get(__name__)


def new_key(session: Session, actor: Actor, request: KeyRequest) -> tuple[ApiKey, str]:
    """Make a key; return its row, and the key in full, which is not stored."""
    key = ApiKey(**request.model_dump(exclude={"owner"}), owner=request.owner or _as_owner(request.name))
    token = keys.create(session, key)
    audit.record(session, actor, "key.create", key.id, details={"owner": key.owner, "role": key.role})
    on_commit(session, log.info, "key_created", made=key.id, owner=key.owner, role=key.role)
    return key, token


def revoke_key(database: Database, caller: Caller, key_id: str) -> None:
    """Revoke a key permanently; raise `NotFound`, or `IllegalTransition` for the last operator's key."""
    with database.writing("revoke_key") as session:
        keys.revoke(session, key_id)
        audit.record(session, caller, "key.revoke", key_id)
    log.info("key_revoked", revoked=key_id)


def _as_owner(name: str) -> str:
    """Make an owner of a key's name: the name itself if it is valid, otherwise one that no other name maps to."""
    if re.fullmatch(OWNER, name):
        return name
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:_READABLE].strip("-")
    return f"{readable}-{hashlib.sha256(name.encode()).hexdigest()[:16]}".lstrip("-")
