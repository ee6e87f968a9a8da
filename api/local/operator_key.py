"""The first key: `atelier up` makes one for its operator, in a file that only its user can read.

Invariant: the file holds a key that opens everything, or is written anew; an operator who revokes it gets another at
the next start.
"""

from __future__ import annotations

import os
from pathlib import Path

from api.local.home import KEY_FILE, operator_key
from shared.db.access import keys
from shared.db.admin import audit
from shared.db.base import Database
from shared.db.models import ApiKey
from shared.states import Role

#: Whose key it is: what was submitted before there were keys is this owner's.
_OWNER = "local"


def ensure(database: Database, home: Path) -> str:
    """Return the operator's key of this home, made and written if there is none that opens anything."""
    path = home / KEY_FILE
    written = operator_key(home)
    with database.writing("first_key") as session:
        found = keys.find(session, written) if written else None
        if found is not None and found.role == Role.OPERATOR:
            return str(written)
        key = ApiKey(name="operator of this machine", owner=_OWNER, role=Role.OPERATOR)
        token = keys.create(session, key)
        audit.record(session, audit.Host(), "key.create", key.id, details={"owner": key.owner, "role": key.role})
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(token + "\n")
    fresh.replace(path)
    return token
