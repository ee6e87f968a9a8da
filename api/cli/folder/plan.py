"""What `atelier batch` has to do: which pictures, where each result goes, and which batch was started before.

`.atelier-batch.json` beside the results records their batch and its settings, so that the same command continues
where it stopped, even on another day.

Invariant: nothing starts if two results would go to one file.
"""

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from api.client.files import write_whole

_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff"}
_STATE = ".atelier-batch.json"


class Started(NamedTuple):
    """The batch that a folder of results belongs to, and the hash of its settings."""

    batch_id: str
    settings: str


def find(folder: Path, out: Path) -> dict[str, Path]:
    """Return the pictures below `folder` by key, in order; those below `out` are results and left out."""
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
    """Return where each result goes; raise `UsageError` if two would be one file, on any file system."""
    by_name: dict[str, list[str]] = defaultdict(list)
    results = {key: out / Path(key).with_suffix(suffix) for key in keys}
    for key, result in results.items():
        by_name[str(result).casefold()].append(key)
    clashes = [" and ".join(same) for same in by_name.values() if len(same) > 1]
    if clashes:
        listed = "\n  ".join(clashes[:20])
        raise click.UsageError(f"The results of these would go to one file; rename one of each:\n  {listed}")
    return results


def hash_of(request: Mapping[str, Any], suffix: str, strength: float | None) -> str:
    """Hash the settings that determine the results; without a strength, as before there were any."""
    settings = [request, suffix, *([] if strength is None else [strength])]
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def read(out: Path) -> Started | None:
    """Return the batch recorded beside the results; None if there is none that can be read."""
    try:
        record = json.loads((out / _STATE).read_text(encoding="utf-8"))
        return Started(str(record["batch"]), str(record["settings"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def remember(out: Path, started: Started) -> None:
    """Record the batch beside the results."""
    out.mkdir(parents=True, exist_ok=True)
    record = {"batch": started.batch_id, "settings": started.settings}
    write_whole(out / _STATE, json.dumps(record, indent=2).encode())
