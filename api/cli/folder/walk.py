"""Which pictures a folder holds, and what of it is left out and why.

`shared.imaging.filenames` knows pictures by their names. Folders that hold the results of another batch are left out,
and so are links to folders: what they lead to may lie in this folder as well, or lead back to it.

Invariant: a picture is found once, and whatever could be meant as one is found, counted or named.
"""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from api.cli.display.tables import FailedPicture
from api.cli.folder import state
from api.cli.folder.keys import key_of
from api.cli.folder.reasons import Reason
from shared.imaging.filenames import STATE_FILE, Kind, is_skipped_folder, kind_of
from shared.paths import kind_text


class LeftOut(NamedTuple):
    """Something that is not taken: its path in the folder, and what it is."""

    path: str
    what: str


@dataclass
class Found:
    """What is in a folder; paths are relative to it, with `/` between their parts."""

    #: The path of each picture, by its key.
    pictures: dict[str, str] = field(default_factory=dict)
    #: How many pictures there are of each kind that cannot be read, by suffix.
    unreadable_kinds: Counter[str] = field(default_factory=Counter)
    left_out: list[LeftOut] = field(default_factory=list)
    #: Files that batches have written among the pictures.
    results: set[str] = field(default_factory=set)
    #: What the system does not let us read.
    failed: list[FailedPicture] = field(default_factory=list)


def walk(folder: Path, out: Path) -> Found:
    """Find the pictures below `folder` but not below `out`, unless that is `folder` itself.

    Raises `OSError` if `folder` cannot be read.
    """
    found, results, pending = Found(), _identity(out), [""]
    _leave_out_results(folder, "", found)
    while pending:
        at = pending.pop()
        try:
            with os.scandir(folder / at) as entries:
                here = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            if not at:
                raise
            found.failed.append(FailedPicture(f"{at}/", Reason.UNREADABLE, error.strerror or str(error)))
            continue
        pending += reversed([path for entry in here if (path := _take(entry, at, results, found)) is not None])
    return found


def _take(entry: os.DirEntry[str], at: str, results: tuple[int, int] | None, found: Found) -> str | None:
    """Note an entry of the folder `at`; return its path if it is a folder to be searched."""
    path = f"{at}/{entry.name}" if at else entry.name
    try:
        if entry.is_dir():
            return path if _is_searched(entry, path, results, found) else None
        _take_file(entry, path, found)
    except OSError as error:  # such as a loop of links
        if kind_of(entry.name) is Kind.PICTURE:
            found.failed.append(FailedPicture(path, Reason.UNREADABLE, error.strerror or str(error)))
    return None


def _is_searched(entry: os.DirEntry[str], path: str, results: tuple[int, int] | None, found: Found) -> bool:
    if is_skipped_folder(entry.name) or _identity(entry) == results is not None:
        return False
    if entry.is_symlink():
        found.left_out.append(LeftOut(f"{path}/", "a link to a folder"))
    elif os.path.lexists(os.path.join(entry.path, STATE_FILE)) and not _leave_out_results(  # noqa: PTH118 - as above
        Path(entry.path), f"{path}/", found
    ):
        found.left_out.append(LeftOut(f"{path}/", "the results of another batch"))
    else:
        return True
    return False


def _leave_out_results(folder: Path, at: str, found: Found) -> bool:
    """Leave out the results of a batch that lie among its pictures in `folder`; return whether there may be any."""
    try:
        batch = state.read(folder)
    except OSError:  # such as a named pipe, or a file of somebody else's
        return False
    if batch is None or batch.pictures != state.HERE:
        return False
    found.results.update(f"{at}{name}" for name in batch.results or ())
    return True


def _take_file(entry: os.DirEntry[str], path: str, found: Found) -> None:
    kind = kind_of(entry.name)
    if kind is Kind.UNREADABLE:
        found.unreadable_kinds[os.path.splitext(entry.name)[1].lower()] += 1  # noqa: PTH122 - as above
    elif path in found.results:
        pass
    elif kind is Kind.PICTURE and entry.is_file():
        found.pictures[key_of(path)] = path
    elif kind is Kind.PICTURE:
        found.left_out.append(LeftOut(path, kind_text(entry.stat().st_mode)))  # raises for a link that leads nowhere


def _identity(path: os.DirEntry[str] | Path) -> tuple[int, int] | None:
    """Return what tells a folder from every other; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
