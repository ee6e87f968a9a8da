"""Pictures that are already on the server: in a folder the operator allows, or in our storage below `imports/`.

Invariant: no file outside the allowed roots is read, whatever links lie inside them.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from api.batches.readers import Upload, candidate_from_upload
from api.batches.report import Candidate
from api.schemas.batches import printable_key
from shared.errors import AtelierError, ForbiddenSource, UnsafePath
from shared.settings import Settings
from shared.storage.store import ImageStore, checked_key

#: The only prefix in our storage that can be imported from.
_PREFIX = "imports/"
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff"}


def candidates(
    settings: Settings, store: ImageStore, source: str, upload: Upload, *, skip: Callable[[], None]
) -> Iterator[Candidate]:
    """Upload the pictures of a source in the order of their names; raise `ForbiddenSource` before the first.

    `file:///folder` is a folder below `ATELIER_IMPORT_ROOTS`, `storage:imports/…` a prefix in our storage; keys are
    paths relative to it. Call `skip` for each file whose suffix is not a picture's.
    """
    if source.startswith("storage:"):
        return _from_storage(store, source.removeprefix("storage:"), upload)
    parts = urlsplit(source)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        raise ForbiddenSource("Use file:///folder or storage:imports/….")
    folder = _allowed_folder(settings.import_roots, unquote(parts.path))
    return _from_folder(folder, settings.max_upload_bytes, upload, skip)


def _allowed_folder(import_roots: str, path: str) -> Path:
    folder = Path(os.path.realpath(path))
    roots = [Path(os.path.realpath(root)) for root in import_roots.split(os.pathsep) if root]
    if not any(folder.is_relative_to(root) for root in roots) or not folder.is_dir():
        raise ForbiddenSource("Pictures can only be imported from folders that ATELIER_IMPORT_ROOTS allows.")
    return folder


def _from_folder(folder: Path, max_bytes: int, upload: Upload, skip: Callable[[], None]) -> Iterator[Candidate]:
    number = 0
    for path in _files(folder):
        if path.suffix.lower() not in _SUFFIXES:
            skip()
            continue
        number += 1
        key = path.relative_to(folder).as_posix()
        data = _read(path, folder, max_bytes)
        if isinstance(data, AtelierError):
            yield Candidate(number, printable_key(key), data)
        else:
            yield candidate_from_upload(number, key, data, upload)


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, without following links to folders."""
    for at, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(at, name) for name in sorted(names))


def _read(path: Path, folder: Path, max_bytes: int) -> bytes | AtelierError:
    if not Path(os.path.realpath(path)).is_relative_to(folder) or not path.is_file():
        return UnsafePath("Only regular files are imported, and no links that lead outside the folder.")
    try:
        with path.open("rb") as file:
            return file.read(max_bytes + 1)  # a file that is longer is refused as any upload is
    except OSError as error:
        return ForbiddenSource(f"The file cannot be read: {error.strerror}.")


def _from_storage(store: ImageStore, prefix: str, upload: Upload) -> Iterator[Candidate]:
    start = f"{prefix.rstrip('/')}/"
    try:
        checked_key(start.rstrip("/"))
    except ValueError:
        raise ForbiddenSource(f"Use storage:{_PREFIX} and a prefix.") from None
    if not start.startswith(_PREFIX):
        raise ForbiddenSource(f"Only keys below {_PREFIX} can be imported from storage.")
    return (
        candidate_from_upload(number, key.removeprefix(start), store.get(key), upload)
        for number, key in enumerate(store.list(start), 1)
    )
