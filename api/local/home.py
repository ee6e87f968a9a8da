"""The home folder of a stack, and what it holds for commands on this machine: the address and the operator's key.

Invariant: a home that a stack has made or found its user's own can be entered by that user alone, so that the modes of
the files in it (database, keys, pictures, logs, sockets) do not matter.
"""

import os
import stat
from pathlib import Path

ADDRESS_FILE = "address"
KEY_FILE = "operator.key"


def make_private(folder: Path) -> None:
    """Make a folder that only this user can enter, or close one of this user's to all others.

    Somebody else's folder stays as it is, and so does one that exists to be shared, such as `/tmp`.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    is_own = found.st_uid == os.geteuid() and not found.st_mode & stat.S_ISVTX
    if is_own and found.st_mode & 0o077:
        folder.chmod(0o700)


def address(home: Path) -> str | None:
    """Return the address of the stack running in this home, or None if none is."""
    return _text(home / ADDRESS_FILE)


def operator_key(home: Path) -> str | None:
    """Return the operator's key of the stack in this home, or None if it was never started."""
    return _text(home / KEY_FILE)


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except OSError:
        return None
