"""What `atelier batch` is to do: which pictures, where each comes out, and what was begun before.

Beside the results lies `.atelier-batch.json`, which says of which batch they are and by which settings; with it the
same command, also on another day, goes on where it stopped.

Invariant: where two pictures would come out in one file nothing is begun.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from api.client.files import write_whole

_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff"}
_STATE = ".atelier-batch.json"


class Begun(NamedTuple):
    """The batch that a folder of results is of."""

    batch_id: str
    settings: str


def find(folder: Path, out: Path) -> dict[str, Path]:
    """Return the pictures below `folder` by their keys, in order; those below `out` are results."""
    found: dict[str, Path] = {}

    def refuse(error: OSError) -> None:
        raise error

    for at, folders, names in os.walk(folder, onerror=refuse):
        here = Path(at)
        folders[:] = sorted(name for name in folders if (here / name).resolve() != out.resolve())
        for name in sorted(names):
            if Path(name).suffix.lower() in _SUFFIXES and not name.startswith("."):
                found[(here / name).relative_to(folder).as_posix()] = here / name
    return found


def outputs(keys: Sequence[str], out: Path, suffix: str) -> dict[str, Path]:
    """Say where each picture comes out; raise `UsageError` where two would be one file, on any file system."""
    by_name: dict[str, list[str]] = defaultdict(list)
    places = {key: out / Path(key).with_suffix(suffix) for key in keys}
    for key, place in places.items():
        by_name[str(place).casefold()].append(key)
    clashes = [" and ".join(same) for same in by_name.values() if len(same) > 1]
    if clashes:
        listed = "\n  ".join(clashes[:20])
        raise click.UsageError(f"These would come out in one file; rename one of each:\n  {listed}")
    return places


def settings_of(request: Mapping[str, Any], suffix: str) -> str:
    """Hash what decides the results."""
    return hashlib.sha256(json.dumps([request, suffix], sort_keys=True).encode()).hexdigest()


def begun(out: Path) -> Begun | None:
    """Return what was begun before; None if nothing was, or if that cannot be read."""
    try:
        told = json.loads((out / _STATE).read_text(encoding="utf-8"))
        return Begun(str(told["batch"]), str(told["settings"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def remember(out: Path, what: Begun) -> None:
    """Write what was begun beside the results."""
    out.mkdir(parents=True, exist_ok=True)
    told = {"batch": what.batch_id, "settings": what.settings}
    write_whole(out / _STATE, json.dumps(told, indent=2).encode())


def missing(places: Mapping[str, Path]) -> Iterator[str]:
    """Yield the keys whose results are not there."""
    return (key for key, place in places.items() if not place.exists())
