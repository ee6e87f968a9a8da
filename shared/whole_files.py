"""Files that are there whole or not at all: written under another name, flushed to the disk, then renamed.

The three are apart, so that many files can be flushed at once, and the folders that hold several of them once.

Invariant: a file has its name only once its bytes are on the disk; it survives a power cut once the folders are
flushed that it says were changed, or the whole file system is.
"""

from __future__ import annotations

import ctypes
import os
import secrets
from contextlib import ExitStack, suppress
from io import FileIO
from pathlib import Path

from shared import failpoints

#: Begins the name of a file that is still being written.
UNFINISHED = ".tmp-"
#: Linux' call that flushes a file system, which Python does not offer.
_SYNCFS = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)


class Writing:
    """A file on its way to its name."""

    def __init__(self, path: Path, data: bytes, unfinished: ExitStack, *, name: str) -> None:
        """Write `data` under another name, which goes if `unfinished` ends by an error; `name` is for failpoints."""
        self._path, self._name = path, name
        self._other = path.with_name(f"{UNFINISHED}{secrets.token_hex(8)}")
        #: The folders to be flushed.
        self.changed = [path.parent]
        failpoints.reach(f"before_write_{name}")
        unfinished.push(self._discard)
        self._file = unfinished.enter_context(self._created())
        left = memoryview(data)
        while left:  # a call may take a part of it
            left = left[self._file.write(left) :]

    def flush(self) -> None:
        """Have the bytes on the disk."""
        os.fsync(self._file.fileno())

    def finish(self) -> None:
        """Give the file its name."""
        failpoints.reach(f"before_rename_{self._name}")
        self._other.replace(self._path)
        failpoints.reach(f"after_rename_{self._name}")

    def _discard(self, error: type[BaseException] | None, *_: object) -> None:
        if error is not None:
            self._other.unlink(missing_ok=True)

    def _created(self) -> FileIO:
        """Open a new file, its folders made if need be; again if a deletion takes an empty one away meanwhile."""
        for _ in range(2):
            with suppress(FileNotFoundError):
                return self._other.open("xb", buffering=0)
            self.changed += make_folder(self._other.parent)
        return self._other.open("xb", buffering=0)


def make_folder(folder: Path) -> list[Path]:
    """Make `folder` and those above it; return those that hold the ones made, which are still to be flushed."""
    if folder.is_dir():
        return []
    changed = make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    return [*changed, folder.parent]


def flush_file_system(folder: Path) -> bool:
    """Have all that was written to the file system of `folder` on its disk; False where the system has no such call."""
    if _SYNCFS is None:
        return False
    handle = os.open(folder, os.O_RDONLY)
    try:
        if _SYNCFS(handle):
            raise OSError(ctypes.get_errno(), "the file system could not be flushed", str(folder))
    finally:
        os.close(handle)
    return True


def flush_folder(folder: Path) -> None:
    """Make what was made, renamed and removed in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
