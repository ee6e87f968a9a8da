"""Failpoints: tests kill a process before or after a commit, a publish, an upload or a rename.

`ATELIER_FAILPOINT=after_commit_claim:exit` exits the process without cleanup when it first reaches that point.
`ATELIER_FAILPOINT_SPENT` names a file that is created as it dies, so that the process which replaces it survives.
Without the variable, `reach` does nothing.
"""

import os

_WANTED, _, _ACTION = os.environ.get("ATELIER_FAILPOINT", "").partition(":")
_SPENT = os.environ.get("ATELIER_FAILPOINT_SPENT", "")
#: The exit status that shells report after SIGKILL.
_EXIT_CODE = 137


def reach(name: str) -> None:
    """Exit the process here if this is the configured failpoint."""
    if name == _WANTED and _ACTION == "exit" and _spend():
        os._exit(_EXIT_CODE)


def _spend() -> bool:
    """Return whether no process has died here before."""
    if not _SPENT:
        return True
    try:
        os.close(os.open(_SPENT, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True
