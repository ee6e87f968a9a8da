"""Files that are there whole or not at all: written under another name, flushed to the disk, then renamed.

Writing, flushing and renaming are apart, so that many files can be flushed at once, and a folder once for several.

Invariant: a file has its name only once its bytes are on the disk; it survives a power cut once the folders are
flushed that it says were changed, or the whole file system is.
"""

from __future__ import annotations

import ctypes
import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import BufferedWriter
from pathlib import Path
from typing import IO

from shared import failpoints

#: Begins the name of a file that is still being written.
UNFINISHED = ".tmp-"
#: Linux' call that flushes a file system, which Python does not offer.
_SYNCFS = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)


class AtomicWrite:
    """A file that is being written under another name, until `finish` gives it its own."""

    def __init__(self, path: Path, unfinished: ExitStack, *, name: str = "") -> None:
        """Open it for writing; it is removed if `unfinished` ends with an error. `name` is for failpoints."""
        self._path, self._name = path, name
        self._other = path.with_name(f"{UNFINISHED}{secrets.token_hex(8)}")
        #: The folders to be flushed.
        self.changed = [path.parent]
        self._reach("before_write")
        unfinished.push(self._discard)
        self.file: BufferedWriter = unfinished.enter_context(self._created())

    def flush(self) -> None:
        """Have the bytes on the disk."""
        self.file.flush()
        os.fsync(self.file.fileno())

    def finish(self) -> None:
        """Give the file its name."""
        self._reach("before_rename")
        self._other.replace(self._path)
        self._reach("after_rename")

    def _reach(self, point: str) -> None:
        if self._name:
            failpoints.reach(f"{point}_{self._name}")

    def _discard(self, error: type[BaseException] | None, *_: object) -> None:
        if error is not None:
            self._other.unlink(missing_ok=True)

    def _created(self) -> BufferedWriter:
        """Open a new file, its folders made if need be; again if a deletion takes an empty one away meanwhile."""
        for _ in range(2):
            with suppress(FileNotFoundError):
                return self._other.open("xb")
            self.changed += make_folder(self._other.parent)
        return self._other.open("xb")


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that takes the place of `path` on success and vanishes on failure; its folder is made if need be."""
    with ExitStack() as unfinished:
        writing = AtomicWrite(path, unfinished)
        yield writing.file
        writing.flush()
        writing.finish()


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
