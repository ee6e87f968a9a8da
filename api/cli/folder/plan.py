"""What `atelier batch` has to do: where each result goes, and which cannot be written there.

Invariant: nothing starts if two results would go to one file, or if one would replace anything but an earlier result.
"""

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import click

from api.cli.display.tables import FailedPicture
from api.cli.folder.reasons import Reason
from api.cli.outputs import listed
from shared.paths import MAX_NAME_BYTES, fold
from shared.texts import printable


class Planned(NamedTuple):
    """Where the results go, by key, and the pictures whose results could not be written."""

    results: dict[str, Path]
    failed: list[FailedPicture]


def plan(pictures: Mapping[str, str], out: Path, suffix: str) -> Planned:
    """Decide where the result of each picture goes, by its key and path.

    Raises a `UsageError` if two would be one file on any file system.
    """
    names = {key: result_name(path, suffix) for key, path in pictures.items()}
    _refuse_same_file(pictures, names)
    folders = {
        fold(str(parent)) for parent in {each for name in names.values() for each in PurePosixPath(name).parents}
    }
    obstacles = {parent: _file_in_the_way(out / parent, out) for parent in {_parent(name) for name in names.values()}}
    planned = Planned({}, [])
    for key, name in names.items():
        if fold(name) in folders:
            why = f"Its result {name} would have the name of a folder of other results."
            planned.failed.append(FailedPicture(pictures[key], Reason.NAME_CLASH, why))
        elif obstacle := obstacles[_parent(name)] or _obstacle(out / name):
            planned.failed.append(FailedPicture(pictures[key], Reason.UNWRITABLE, f"{obstacle} is in the way."))
        else:
            planned.results[key] = out / name
    return planned


def result_name(path: str, suffix: str) -> str:
    """Return the path of the result of the picture at `path`, within the length that a name may have."""
    folder, _, name = path.rpartition("/")
    stem = os.path.splitext(name)[0]  # noqa: PTH122 - Path would be slower
    if len(os.fsencode(stem + suffix)) > MAX_NAME_BYTES:
        suffix = f"~{hashlib.sha256(os.fsencode(path)).hexdigest()[:8]}{suffix}"
        while len(os.fsencode(stem + suffix)) > MAX_NAME_BYTES:
            stem = stem[:-1]
    return f"{folder}/{stem}{suffix}" if folder else stem + suffix


def refuse_unknown(results: Mapping[str, Path], out: Path, known: Collection[str] = ()) -> None:
    """Raise a `UsageError` if files are where results would go that are none of the `known` results in `out`."""
    existing = [path for path in results.values() if path.is_file() and path.relative_to(out).as_posix() not in known]
    if existing:
        raise click.UsageError(
            f"{printable(out)} holds files of these names that this command has not written: choose another folder, "
            f"or add --new to replace them.{listed(map(printable, existing))}"
        )


def hash_of(request: Mapping[str, Any], suffix: str, strength: float | None) -> str:
    """Hash the settings that determine the results; without a strength, as before there were any."""
    settings = [request, suffix, *([] if strength is None else [strength])]
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _refuse_same_file(pictures: Mapping[str, str], names: Mapping[str, str]) -> None:
    by_name: dict[str, list[str]] = defaultdict(list)
    for key, name in names.items():
        by_name[fold(name)].append(printable(pictures[key]))
    clashes = [" and ".join(same) for same in by_name.values() if len(same) > 1]
    if clashes:
        raise click.UsageError(
            f"The results of these would go to one file; rename one of each:{listed(clashes)}",
        )


def _parent(name: str) -> str:
    return name.rpartition("/")[0]


def _file_in_the_way(folder: Path, out: Path) -> Path | None:
    """Return what stands where a folder of results has to be, if anything does."""
    while folder != out:
        if os.path.lexists(folder):
            return None if folder.is_dir() else folder
        folder = folder.parent
    return None


def _obstacle(result: Path) -> Path | None:
    """Return the result's path if something else than a file has it, such as a folder."""
    return result if os.path.exists(result) and not os.path.isfile(result) else None  # noqa: PTH110, PTH113 - never raise
