"""Atomic file writes: write to a temporary name, fsync, then rename.

Writing, flushing and renaming are separate steps, so that many files can be flushed together and a folder once for
several files.

Invariant: a file gets its name only after its bytes are on disk. It survives a power cut once the folders in
`AtomicWrite.changed`, or the whole file system, are flushed.
"""

import ctypes
import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import BufferedWriter
from pathlib import Path
from typing import IO

from shared import failpoints

#: Prefix of the temporary name of a file that is still being written.
UNFINISHED = ".tmp-"
#: `syncfs` of Linux, which flushes a file system; Python does not wrap it.
_SYNCFS = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)


class AtomicWrite:
    """A file being written under a temporary name until `finish` renames it."""

    def __init__(self, path: Path, unfinished: ExitStack, *, name: str = "") -> None:
        """Open the file; `unfinished` removes it when it exits with an error. `name` is for failpoints."""
        self._path, self._name = path, name
        self._temporary = path.with_name(f"{UNFINISHED}{secrets.token_hex(8)}")
        #: The folders to flush.
        self.changed = [path.parent]
        self._reach("before_write")
        unfinished.push(self._discard)
        self.file: BufferedWriter = unfinished.enter_context(self._created())

    def flush(self) -> None:
        """Flush the bytes to disk."""
        self.file.flush()
        os.fsync(self.file.fileno())

    def finish(self) -> None:
        """Rename the file to its final name."""
        self._reach("before_rename")
        self._temporary.replace(self._path)
        self._reach("after_rename")

    def _reach(self, point: str) -> None:
        if self._name:
            failpoints.reach(f"{point}_{self._name}")

    def _discard(self, error: type[BaseException] | None, *_: object) -> None:
        if error is not None:
            self._temporary.unlink(missing_ok=True)

    def _created(self) -> BufferedWriter:
        """Create the file and its folders; retry once, since an empty folder may be removed at the same time."""
        for _ in range(2):
            with suppress(FileNotFoundError):
                return self._temporary.open("xb")
            self.changed += make_folder(self._temporary.parent)
        return self._temporary.open("xb")


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that replaces `path` on success and is removed on failure; create its folder if needed."""
    with ExitStack() as unfinished:
        writing = AtomicWrite(path, unfinished)
        yield writing.file
        writing.flush()
        writing.finish()


def make_folder(folder: Path) -> list[Path]:
    """Create `folder` and its parents; return the parents of those created, which still have to be flushed."""
    if folder.is_dir():
        return []
    changed = make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    return [*changed, folder.parent]


def flush_file_system(folder: Path) -> bool:
    """Flush the whole file system that holds `folder`; return False where the system cannot."""
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
    """Flush a folder, so that files created, renamed and removed in it survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
