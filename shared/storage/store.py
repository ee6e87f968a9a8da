"""Storage of image bytes by key, behind a protocol; the one implementation is a local folder.

Keys are built by the functions below (`images/ab/…`, `jobs/<id>/<attempt>/…`), never by users; a key that could leave
the root is a programming error. Below `imports/` lie the files of users, under names of their own. The database says
what exists; storage only holds bytes.

Invariant: a key that can be read is complete.
"""

import errno
import re
import secrets
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlparse

from shared.errors import Misconfigured, NotFound, StorageFull, StorageUnavailable
from shared.storage.atomic_files import UNFINISHED, AtomicWrite, flush_file_system, flush_folder, make_folder

_KEY = re.compile(r"[a-z0-9_-]+(\.[a-z0-9]+)?(/[a-z0-9_-]+(\.[a-z0-9]+)?)*")
#: A key of a user's file: what no part of its path may be is left out, since it could lead elsewhere.
_IMPORT = re.compile(r"imports(/(?!\.{1,2}(/|\Z)|\.tmp-)[^/\0]+)+")
#: From this many files on, the whole file system is flushed instead of each file: four times as fast for the 48 files
#: of 16 jobs, although it also flushes what others have written.
_MANY = 12
#: Errors that mean a key does not exist, also one below another key's file.
_ABSENT = (FileNotFoundError, IsADirectoryError, NotADirectoryError)


def checked_key(key: str) -> str:
    """Return `key`; raise `ValueError` if it is malformed."""
    if not _KEY.fullmatch(key) and not _IMPORT.fullmatch(key):
        raise ValueError(f"not a storage key: {key!r}")
    return key


class ImageStore(Protocol):
    """Bytes by key."""

    def put(self, key: str, data: bytes) -> None:
        """Store `data` whole or not at all; raise `StorageFull` or `StorageUnavailable`."""

    def put_all(self, files: Mapping[str, bytes]) -> None:
        """Store several keys, each as `put`, faster than one by one."""

    def get(self, key: str) -> bytes:
        """Return the bytes of `key`; raise `NotFound` or `StorageUnavailable`."""

    def size(self, key: str) -> int:
        """Return how many bytes `key` has; raise `NotFound` or `StorageUnavailable`."""

    def exists(self, key: str) -> bool:
        """Return whether `key` exists."""

    def delete(self, key: str) -> None:
        """Remove `key`; a missing key is no error."""

    def list(self, prefix: str) -> Iterator[str]:
        """Yield the keys with a prefix, in order."""

    def old(self, older_than_s: float) -> Iterator[str]:
        """Yield the keys last written more than `older_than_s` ago, in any order."""

    def discard_unfinished(self, older_than_s: float) -> int:
        """Remove files that dead writers left unfinished more than `older_than_s` ago; return how many."""

    def check(self, size_bytes: int = 5) -> None:
        """Write and remove a file of `size_bytes`; raise if that fails."""


class LocalImageStore:
    """Keys as files below one folder."""

    def __init__(self, root: Path) -> None:
        """Use the folder `root`, which is created by the first write."""
        self._root = root

    def put(self, key: str, data: bytes) -> None:
        """Store `data` whole or not at all; raise `StorageFull` or `StorageUnavailable`."""
        self.put_all({key: data})

    def put_all(self, files: Mapping[str, bytes]) -> None:
        """Store several keys, each as `put`; many are flushed together, by flushing the file system."""
        with _translated(), ExitStack() as unfinished:
            writings = []
            for key, data in files.items():
                writings.append(AtomicWrite(self._path(key), unfinished, name=_file_kind(key)))
                writings[-1].file.write(data)
                writings[-1].file.flush()
            if not self._flushed_together(len(files)):
                for writing in writings:
                    writing.flush()
            for writing in writings:
                writing.finish()
            if not self._flushed_together(len(files)):
                for folder in sorted({folder for writing in writings for folder in writing.changed}, reverse=True):
                    flush_folder(folder)

    def _flushed_together(self, files: int) -> bool:
        return files >= _MANY and flush_file_system(self._root)

    def get(self, key: str) -> bytes:
        """Return the bytes of `key`; raise `NotFound` or `StorageUnavailable`."""
        path = self._path(key)
        with _translated():
            try:
                return path.read_bytes()
            except _ABSENT as error:
                raise NotFound("Storage has no such key.", key=key) from error

    def size(self, key: str) -> int:
        """Return how many bytes `key` has; raise `NotFound` or `StorageUnavailable`."""
        path = self._path(key)
        with _translated():
            try:
                return path.stat().st_size
            except _ABSENT as error:
                raise NotFound("Storage has no such key.", key=key) from error

    def exists(self, key: str) -> bool:
        """Return whether `key` exists; raise `StorageUnavailable`."""
        path = self._path(key)
        with _translated():
            try:
                return stat.S_ISREG(path.stat().st_mode)
            except _ABSENT:
                return False

    def delete(self, key: str) -> None:
        """Remove `key`; a missing key is no error."""
        path = self._path(key)
        with _translated():
            path.unlink(missing_ok=True)

    def list(self, prefix: str) -> Iterator[str]:
        """Yield the keys with a prefix, in order."""
        folder = prefix.rpartition("/")[0]
        start = self._path(folder) if folder else self._root
        with _translated():
            files = [path for path in start.rglob("*") if path.is_file() and not path.name.startswith(UNFINISHED)]
        yield from sorted(key for path in files if (key := path.relative_to(self._root).as_posix()).startswith(prefix))

    def old(self, older_than_s: float) -> Iterator[str]:
        """Yield the keys last written more than `older_than_s` ago, in any order."""
        for path in self._unchanged(older_than_s, stat.S_ISREG):
            if not path.name.startswith(UNFINISHED):
                yield path.relative_to(self._root).as_posix()

    def discard_unfinished(self, older_than_s: float) -> int:
        """Remove old unfinished files of dead writers, and old empty folders; return how many files."""
        files = self._unchanged(older_than_s, stat.S_ISREG)
        left = [path for path in files if path.name.startswith(UNFINISHED)]
        with _translated():
            for path in left:
                path.unlink(missing_ok=True)
        for folder in list(self._unchanged(older_than_s, stat.S_ISDIR)):
            with suppress(OSError):  # most are not empty
                folder.rmdir()
        return len(left)

    def check(self, size_bytes: int = 5) -> None:
        """Write and remove a file of `size_bytes`; raise if that fails."""
        key = f"probe/{secrets.token_hex(8)}"
        self.put(key, bytes(size_bytes))
        self.delete(key)

    def _unchanged(self, older_than_s: float, is_kind: Callable[[int], bool]) -> Iterator[Path]:
        """Yield the files or folders last changed more than `older_than_s` ago by the file system's clock."""
        with _translated():
            now = self._now()
            for path in self._root.rglob("*"):
                try:
                    found = path.stat()
                except _ABSENT:  # removed in the meantime
                    continue
                if is_kind(found.st_mode) and found.st_mtime <= now - older_than_s:
                    yield path

    def _now(self) -> float:
        """Return the file system's time: that of a network share may differ from this machine's."""
        make_folder(self._root)
        probe = self._root / f"{UNFINISHED}{secrets.token_hex(8)}"
        probe.touch()
        try:
            return probe.stat().st_mtime
        finally:
            probe.unlink()

    def _path(self, key: str) -> Path:
        return self._root / checked_key(key)


def _file_kind(key: str) -> str:
    """Return the kind of file a key names, for failpoints."""
    name = key.rpartition("/")[2]
    return name.partition(".")[0] if key.startswith("jobs/") else key.partition("/")[0]


@contextmanager
def _translated() -> Iterator[None]:
    """Translate errors of the operating system to storage errors."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StorageFull() from error
        raise StorageUnavailable() from error


def open_store(url: str) -> ImageStore:
    """Open the store at `url`: a folder's path or a `file://` address."""
    parsed = urlparse(url)
    if parsed.scheme == "file":
        if parsed.netloc not in ("", "localhost"):
            raise Misconfigured(
                f"ATELIER_STORAGE_URL: {url} names another machine; write file:///path with three slashes."
            )
        return LocalImageStore(Path(unquote(parsed.path)))
    if parsed.scheme:
        raise Misconfigured(f"ATELIER_STORAGE_URL: {parsed.scheme}:// is not supported; use a folder or file:///path.")
    return LocalImageStore(Path(url).expanduser())


def image_key(image_id: str) -> str:
    """Return the key of an uploaded image."""
    digest = image_id.removeprefix("sha256:")
    return f"images/{digest[:2]}/{digest}"


def job_prefix(job_id: str) -> str:
    """Return the prefix of all keys of a job."""
    return f"jobs/{job_id}/"


def attempt_key(job_id: str, attempt: int, name: str) -> str:
    """Return the key of a file of one attempt, so that a late attempt never overwrites a newer one."""
    return f"{job_prefix(job_id)}{attempt}/{name}"
