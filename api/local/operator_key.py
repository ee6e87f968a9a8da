"""The operator's key that `atelier up` creates, in a file that only the user can read.

Invariant: once the stack has started, the file holds a valid operator's key; if it was revoked, the next start creates
another.
"""

import os
from pathlib import Path

from api.local.home import KEY_FILE, operator_key
from shared.db.access import keys
from shared.db.admin import audit
from shared.db.base import Database
from shared.db.models import ApiKey
from shared.states import Role

#: The key's owner, who also owns what was submitted before there were keys.
_OWNER = "local"


def ensure(database: Database, home: Path) -> str:
    """Return this home's operator's key; create and write one unless the file holds a valid one."""
    path = home / KEY_FILE
    written = operator_key(home)
    with database.writing("operator_key") as session:
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
