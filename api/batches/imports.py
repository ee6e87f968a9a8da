"""Pictures that are already on the server: in a folder the operator allows, or in our storage below `imports/`.

Which files are taken, `shared.imaging.filenames` says; a file that is no regular one, such as a named pipe, is told and
never opened.

Invariant: no file outside the allowed roots is read, whatever links lie inside them.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote_to_bytes, urlsplit

from api.batches.member_names import key_of, state_folders
from api.batches.readers import Upload, candidate_from_upload
from api.batches.report import Candidate, Skip
from api.schemas.batches import printable_key
from shared.errors import AtelierError, ForbiddenSource, UnsafePath
from shared.imaging import filenames
from shared.imaging.filenames import STATE_FILE, Kind
from shared.settings import Settings
from shared.storage.store import ImageStore, checked_key

#: The only prefix in our storage that can be imported from.
_PREFIX = "imports/"
#: Opens neither a pipe, which would wait for its writer, nor a link that has just taken the file's place.
_READ_ONLY = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


def candidates(
    settings: Settings, store: ImageStore, source: str, upload: Upload, *, skip: Skip
) -> Iterator[Candidate]:
    """Upload the pictures of a source in the order of their names; raise `ForbiddenSource` before the first.

    `file:///folder` is a folder below `ATELIER_IMPORT_ROOTS`, `storage:imports/…` a prefix in our storage; keys are
    paths relative to it. Call `skip` for each file that is not to be read.
    """
    if source.startswith("storage:"):
        return _from_storage(store, source.removeprefix("storage:"), upload, skip)
    folder = _allowed_folder(settings.import_roots, _folder_of(source))
    return _from_folder(folder, settings.max_upload_bytes, upload, skip)


def _folder_of(source: str) -> str:
    """Return the folder that an address names; raise `ForbiddenSource` for any other address."""
    try:
        parts = urlsplit(source)
        path = os.fsdecode(unquote_to_bytes(parts.path))
    except ValueError:  # no address, or text that is no Unicode
        raise ForbiddenSource("Use file:///folder or storage:imports/….") from None
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        raise ForbiddenSource("Use file:///folder or storage:imports/….")
    if "\0" in path:
        raise ForbiddenSource("The folder's name contains a NUL (%00).")
    return path


def _allowed_folder(import_roots: str, path: str) -> Path:
    folder = Path(os.path.realpath(path))
    roots = [Path(os.path.realpath(root)) for root in import_roots.split(os.pathsep) if root]
    if not any(folder.is_relative_to(root) for root in roots) or not os.path.isdir(folder):  # noqa: PTH112 - never raises
        raise ForbiddenSource("Pictures can only be imported from folders that ATELIER_IMPORT_ROOTS allows.")
    return folder


class _File(NamedTuple):
    """A file or, with `error`, a folder that cannot be read."""

    path: Path
    error: AtelierError | None = None


def _from_folder(folder: Path, max_bytes: int, upload: Upload, skip: Skip) -> Iterator[Candidate]:
    number = 0
    for path, error in _files(folder):
        name = path.relative_to(folder).as_posix()
        if error is None and _skipped(name, skip):
            continue
        number += 1
        key = key_of(name)
        data = error or _read(path, folder, max_bytes)
        if isinstance(data, AtelierError):
            yield Candidate(number, printable_key(key), data)
        else:
            yield candidate_from_upload(number, key, data, upload)


def _skipped(name: str, skip: Skip) -> bool:
    """Skip a file that is not to be read; return whether it was."""
    kind = filenames.kind_of(name)
    if kind is not Kind.PICTURE:
        skip(name.rpartition(".")[2].lower() if kind is Kind.UNREADABLE else None)
    return kind is not Kind.PICTURE


def _files(folder: Path) -> Iterator[_File]:
    """Yield the files below a folder, without following links to folders.

    Folders that devices and programs keep, and those that hold the results of another batch, are left out.
    """
    unreadable: list[OSError] = []
    for at, folders, names in os.walk(folder, onerror=unreadable.append):
        here = Path(at)
        yield from (_File(Path(error.filename), _unread("folder", error)) for error in unreadable)
        unreadable.clear()
        if STATE_FILE in names and here != folder:
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not filenames.is_skipped_folder(name))
        yield from (_File(here / name) for name in sorted(names))
    yield from (_File(Path(error.filename), _unread("folder", error)) for error in unreadable)


def _read(path: Path, folder: Path, max_bytes: int) -> bytes | AtelierError:
    """Read a regular file; return the error of one that is not, that lies outside `folder` or that cannot be read."""
    refusal = UnsafePath("Only regular files are imported, and no links that lead outside the folder.")
    real = Path(os.path.realpath(path))
    try:
        if not real.is_relative_to(folder) or not stat.S_ISREG(real.lstat().st_mode):
            return refusal
        with open(os.open(real, _READ_ONLY), "rb") as file:  # noqa: PTH123 - a descriptor has no path
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # it has just taken the file's place
                return refusal
            return file.read(max_bytes + 1)  # a file that is longer is refused as any upload is
    except OSError as error:
        return _unread("file", error)


def _unread(what: str, error: OSError) -> ForbiddenSource:
    return ForbiddenSource(f"The {what} cannot be read: {error.strerror}.")


def _from_storage(store: ImageStore, prefix: str, upload: Upload, skip: Skip) -> Iterator[Candidate]:
    start = f"{prefix.rstrip('/')}/"
    try:
        checked_key(start.rstrip("/"))
    except ValueError:
        raise ForbiddenSource(f"Use storage:{_PREFIX} and a prefix.") from None
    if not start.startswith(_PREFIX):
        raise ForbiddenSource(f"Only keys below {_PREFIX} can be imported from storage.")

    def names() -> Iterator[str]:
        return (key.removeprefix(start) for key in store.list(start))

    results = tuple(state_folders(names()))
    wanted = (name for name in names() if not name.startswith(results) and not _skipped(name, skip))
    return (
        candidate_from_upload(number, key_of(name), store.get(f"{start}{name}"), upload)
        for number, name in enumerate(wanted, 1)
    )
