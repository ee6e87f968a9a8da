"""Manage the files of VGG19's weights: `python -m worker weights list`, `fetch [NAME]` or `import FILE`.

Prints one JSON value for `atelier weights`, which may not import the engine; a failure is an object with `error`. The
keys are what `api.cli.machine.weights` reads. Nothing here loads TensorFlow.
"""

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


def list_weights(cache_dir: Path) -> list[dict[str, Any]]:
    """List the named weights, best first, each with its file if that is cached and intact."""
    patch = weights.find_patch_file(cache_dir)
    rows = [
        *(
            (known.name, weights.find_cached(known, cache_dir), known.size_bytes, str(known.digest))
            for known in PUBLISHED.values()
        ),
        (LAST_RESORT_WEIGHTS, patch, patch.stat().st_size if patch else None, None),
    ]
    return [
        {"name": name, "path": str(path) if path else None, "size_bytes": size_bytes, "digest": digest}
        for name, path, size_bytes, digest in rows
    ]


def fetch(settings: Settings, name: str = "") -> dict[str, Any]:
    """Download the weights called `name`, by default the best available; return where they are.

    The `reason` says why no better ones were had, if so. Raises `WeightsUnavailable`.
    """
    if name and name not in PUBLISHED:
        raise WeightsUnavailable(f"{name} cannot be fetched; choose from {' and '.join(PUBLISHED)}.")
    location = WeightsLocation(settings.weights_dir, settings.weights_mirror)
    among = [PUBLISHED[name]] if name else list(PUBLISHED.values())
    found, reason = weights.first_available(lambda known: (known.name, weights.obtain(known, location)), among)
    if found:
        return {"name": found[0], "path": str(found[1]), "reason": reason}
    files = " or ".join(known.file for known in PUBLISHED.values())
    raise WeightsUnavailable(
        f"{reason} Try again with a connection, or copy {files} from another machine and "
        "run `atelier weights import FILE`."
    )


def import_file(settings: Settings, file: str) -> dict[str, Any]:
    """Copy a file of published weights into the cache; return where it is. Raises `WeightsUnavailable`."""
    known = weights.import_file(Path(file), settings.weights_dir)
    return {"name": known.name, "path": str(settings.weights_dir / known.file)}


def main(arguments: list[str]) -> int:
    """Run a command; return its exit code, 1 if it failed. Raise `SystemExit` with 2 for wrong arguments."""
    parser = argparse.ArgumentParser(prog="python -m worker weights")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list")
    commands.add_parser("fetch").add_argument("name", nargs="?", default="")
    commands.add_parser("import").add_argument("file")
    chosen = parser.parse_args(arguments)
    try:
        answer, code = _run(chosen, Settings.load()), 0
    except WeightsUnavailable as error:
        answer, code = {"error": str(error)}, 1
    sys.stdout.write(json.dumps(answer) + "\n")
    return code


def _run(chosen: argparse.Namespace, settings: Settings) -> Any:
    if chosen.command == "fetch":
        return fetch(settings, chosen.name)
    return import_file(settings, chosen.file) if chosen.command == "import" else list_weights(settings.weights_dir)
