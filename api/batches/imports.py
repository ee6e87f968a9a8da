"""Pictures that are on the server already: in a folder that the operator allows, or in our storage below `imports/`.

Invariant: nothing outside the allowed roots is read, whatever links lie inside them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from api.access import Caller
from api.batches.readers import offered
from api.batches.report import Offer
from api.schemas import batches
from api.services import Services
from shared.errors import AtelierError, ForbiddenSource, UnsafePath
from shared.storage.store import checked_key

#: Where pictures may be imported from in our own storage.
_AREA = "imports/"
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff"}


def offers(services: Services, caller: Caller, source: str, *, skip: Callable[[], None]) -> Iterator[Offer]:
    """Keep the pictures of a source, in the order of their names; raise `ForbiddenSource` before the first.

    `file:///folder` is one below `ATELIER_IMPORT_ROOTS`, `storage:imports/…` a prefix in our storage. Keys are paths
    below it. `skip` is called for files that are no pictures by their names.
    """
    if source.startswith("storage:"):
        return _from_storage(services, caller, source.removeprefix("storage:"))
    parts = urlsplit(source)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        raise ForbiddenSource("Write file:///folder or storage:imports/….")
    return _from_folder(services, caller, _allowed(services, unquote(parts.path)), skip)


def _allowed(services: Services, path: str) -> Path:
    folder = Path(os.path.realpath(path))
    roots = [Path(os.path.realpath(root)) for root in services.settings.import_roots.split(os.pathsep) if root]
    if not any(folder.is_relative_to(root) for root in roots) or not folder.is_dir():
        raise ForbiddenSource("Pictures may be imported only from folders that ATELIER_IMPORT_ROOTS allows.")
    return folder


def _from_folder(services: Services, caller: Caller, folder: Path, skip: Callable[[], None]) -> Iterator[Offer]:
    number = 0
    for path in _files(folder):
        if path.suffix.lower() not in _SUFFIXES:
            skip()
            continue
        number += 1
        key = path.relative_to(folder).as_posix()
        data = _read(services, path, folder)
        if isinstance(data, AtelierError):
            yield Offer(number, batches.readable(key), data)
        else:
            yield offered(services, caller, number, key, data)


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder; links to folders are not followed."""
    for at, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(at, name) for name in sorted(names))


def _read(services: Services, path: Path, folder: Path) -> bytes | AtelierError:
    if not Path(os.path.realpath(path)).is_relative_to(folder) or not path.is_file():
        return UnsafePath("Links that lead outside, and what is no file, are not read.")
    try:
        with path.open("rb") as file:
            return file.read(services.settings.max_upload_bytes + 1)  # more is refused like any upload
    except OSError as error:
        return ForbiddenSource(f"The file cannot be read: {error.strerror}.")


def _from_storage(services: Services, caller: Caller, prefix: str) -> Iterator[Offer]:
    try:
        checked_key(prefix.rstrip("/"))
    except ValueError:
        raise ForbiddenSource(f"Write storage:{_AREA} and a prefix.") from None
    if not f"{prefix.rstrip('/')}/".startswith(_AREA):
        raise ForbiddenSource(f"From storage, pictures are imported below {_AREA} only.")
    start = f"{prefix.rstrip('/')}/"
    keys = services.store.list(start)
    return (
        offered(services, caller, number, key.removeprefix(start), services.store.get(key))
        for number, key in enumerate(keys, 1)
    )
