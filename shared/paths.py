"""Files of the user's that must survive: which of them an output would overwrite.

A name may be any bytes; `shared.texts` says how it is shown.
"""

import errno
import os
import stat
import unicodedata
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

#: Longest name of a file, in bytes, on the common file systems.
MAX_NAME_BYTES = 255


class InputFiles:
    """The files that a command reads, which none of its outputs may overwrite."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._real: dict[Path, str] = {}
        self._by_inode: dict[tuple[int, int], Path] = {}
        self._by_name: dict[str, Path] = {}
        for path in paths:
            self._by_name.setdefault(self._folded(path), path)
            with suppress(OSError):
                self._by_inode.setdefault(_inode(path), path)

    def overwritten_by(self, output: Path) -> Path | None:
        """Return the input that writing to `output` would overwrite, or None.

        An output that exists is compared as a file, through symbolic and hard links; one that does not by its path, as
        a file system would that folds case or composes accents.
        """
        try:
            return self._by_inode.get(_inode(output))
        except OSError:
            return self._by_name.get(self._folded(output))

    def _folded(self, path: Path) -> str:
        if path.parent not in self._real:
            self._real[path.parent] = os.path.realpath(path.parent)
        return fold(f"{self._real[path.parent]}/{path.name}")


def fold(name: str) -> str:
    """Return a name without its case, and with its accents composed."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def read_regular(path: Path) -> bytes:
    """Read a whole file; raise `OSError` for a named pipe or a device, instead of waiting for it."""
    # a pipe is opened at once even if nobody writes to it
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "This is no regular file", str(path))
        return file.read()


def kind_text(mode: int) -> str:
    """Say what a file is that is not regular, by its `st_mode`."""
    kinds = {
        stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
        stat.S_IFDIR: "a folder",
    }  # fmt: skip
    return kinds.get(stat.S_IFMT(mode), "no regular file")


def _inode(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino
