"""Places where a test build can be made to die: before and after every commit, publish, upload and rename.

`ATELIER_FAILPOINT=after_commit_claim:exit` ends the process, without a word to anybody, the first time that
it gets there. `ATELIER_FAILPOINT_SPENT` names a file that is made as that happens, so that the process which
replaces the dead one lives. Without the variable, `reach` does nothing.
"""

from __future__ import annotations

import os

_WANTED, _, _ACTION = os.environ.get("ATELIER_FAILPOINT", "").partition(":")
_SPENT = os.environ.get("ATELIER_FAILPOINT_SPENT", "")
#: What a shell shows of a process ended by SIGKILL.
_EXIT_CODE = 137


def reach(name: str) -> None:
    """Die here if this is the failpoint that was asked for."""
    if name == _WANTED and _ACTION == "exit" and _spend():
        os._exit(_EXIT_CODE)


def _spend() -> bool:
    """Say whether this is the first time, for whichever process."""
    if not _SPENT:
        return True
    try:
        os.close(os.open(_SPENT, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True
