"""Look after the files of VGG19's weights: `python -m worker weights list`, `fetch [NAME]` or `import FILE`.

Prints one value as JSON, for `atelier weights`, which may not load the engine; a failure is an object with `error`.
Nothing here loads TensorFlow.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from shared.errors import WeightsUnavailable
from shared.painting.params import LAST_RESORT_WEIGHTS
from shared.settings import Settings
from worker.engine.vgg import weights
from worker.engine.vgg.weights import PUBLISHED, WeightsLocation


def shown(settings: Settings) -> list[dict[str, Any]]:
    """List the weights by name, the best first, with the file of each if it is here and undamaged."""
    published = [
        {
            "name": known.name,
            "path": _text(weights.find_cached(known, settings.weights_dir)),
            "size_bytes": known.size_bytes,
            "digest": str(known.digest),
        }
        for known in PUBLISHED.values()
    ]
    patch = weights.find_patch_file(settings.weights_dir)
    size_bytes = patch.stat().st_size if patch else None
    return [
        *published,
        {"name": LAST_RESORT_WEIGHTS, "path": _text(patch), "size_bytes": size_bytes, "digest": None},
    ]


def fetched(settings: Settings, name: str = "") -> dict[str, Any]:
    """Bring the weights called `name`, by default the best that can be had, and tell where they lie."""
    if name and name not in PUBLISHED:
        raise WeightsUnavailable(f"There is nothing to fetch for {name}; there are {' and '.join(PUBLISHED)}.")
    shelf = WeightsLocation(settings.weights_dir, settings.weights_mirror)
    among = [PUBLISHED[name]] if name else list(PUBLISHED.values())
    found, reason = weights.first_available(lambda known: (known.name, weights.obtain(known, shelf)), among)
    if found:
        return {"name": found[0], "path": str(found[1]), "reason": reason}
    files = " or ".join(known.file for known in PUBLISHED.values())
    raise WeightsUnavailable(
        f"{reason} Come back with a connection, or bring {files} from another machine and "
        "run `atelier weights import FILE`."
    )


def imported(settings: Settings, file: str) -> dict[str, Any]:
    """Copy a file of published weights into the cache, and tell where it lies."""
    known = weights.import_file(Path(file), settings.weights_dir)
    return {"name": known.name, "path": str(settings.weights_dir / known.file)}


def main(arguments: list[str]) -> int:
    """Do what `arguments` say; 1 if it cannot be done. Raises `SystemExit` with 2 for a mistake in the command."""
    parser = argparse.ArgumentParser(prog="python -m worker weights")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list")
    commands.add_parser("fetch").add_argument("name", nargs="?", default="")
    commands.add_parser("import").add_argument("file")
    chosen, code = parser.parse_args(arguments), 0
    answer: Any
    try:
        answer = _done(chosen, Settings.load())
    except WeightsUnavailable as error:
        answer, code = {"error": str(error)}, 1
    sys.stdout.write(json.dumps(answer) + "\n")
    return code


def _done(chosen: argparse.Namespace, settings: Settings) -> Any:
    if chosen.command == "fetch":
        return fetched(settings, chosen.name)
    return imported(settings, chosen.file) if chosen.command == "import" else shown(settings)


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
