"""Which batch a folder of results belongs to, recorded beside them.

The same command thereby continues where it stopped, even on another day.
"""

import json
import os
from pathlib import Path
from typing import NamedTuple

from api.client.files import write_whole
from shared.imaging.filenames import STATE_FILE
from shared.paths import read_regular

#: The way from results to pictures that lie in the same folder.
HERE = "."


class Started(NamedTuple):
    """A batch, and what its folder of results was made from."""

    batch_id: str
    #: The hash of the settings.
    settings: str
    #: The way from the results to the pictures; None if an earlier version has recorded the batch.
    pictures: str | None = None
    #: The names of the results, those of earlier calls too; None as above.
    results: frozenset[str] | None = None


def way(out: Path, folder: Path) -> str:
    """Return the way from results to pictures, which stays the same when both are moved together."""
    return os.path.relpath(os.path.realpath(folder), os.path.realpath(out))


def read(out: Path) -> Started | None:
    """Return the batch recorded in a folder of results; None if there is none that can be read."""
    try:
        record = json.loads(read_regular(out / STATE_FILE))
        results = record.get("results")
        known = None if results is None else frozenset(map(str, results))
        return Started(str(record["batch"]), str(record["settings"]), record.get("pictures"), known)
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError, AttributeError):
        return None


def remember(out: Path, started: Started) -> None:
    """Record the batch in its folder of results."""
    record = {
        "batch": started.batch_id,
        "settings": started.settings,
        "pictures": started.pictures,
        "results": sorted(started.results or ()),
    }
    write_whole(out / STATE_FILE, json.dumps(record, indent=2).encode())
