"""Which batch a folder of results belongs to, recorded beside them.

The same command thereby continues where it stopped, even on another day.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from api.client.files import write_whole

STATE_FILE = ".atelier-batch.json"


class Started(NamedTuple):
    """A batch, the hash of its settings and, if the results lie among the pictures, their names."""

    batch_id: str
    settings: str
    results: frozenset[str] = frozenset()


def read(out: Path) -> Started | None:
    """Return the batch recorded in a folder of results; None if there is none that can be read."""
    try:
        record = json.loads((out / STATE_FILE).read_text(encoding="utf-8"))
        return Started(str(record["batch"]), str(record["settings"]), frozenset(map(str, record.get("results", ()))))
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError, AttributeError):
        return None


def remember(out: Path, started: Started) -> None:
    """Record the batch in its folder of results."""
    record = {"batch": started.batch_id, "settings": started.settings, **_listed(started.results)}
    write_whole(out / STATE_FILE, json.dumps(record, indent=2).encode())


def _listed(results: Iterable[str]) -> dict[str, list[str]]:
    names = sorted(results)
    return {"results": names} if names else {}
