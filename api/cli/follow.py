"""Seeing a job to its end: its bar, its picture, its fate; shared by the commands that submit or watch one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from api.cli.display.job_bar import JobBar
from api.cli.display.preview_pane import Pane
from api.cli.errors import Interrupted, ensure_succeeded
from api.client import Client
from api.client.models import Job
from shared.painting.params import LAST_RESORT_WARNING, LAST_RESORT_WEIGHTS

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
out_option = click.option(
    "-o", "--out", type=click.Path(path_type=Path), metavar="FILE", help="Where to write the picture."
)
preview_option = click.option("--preview", is_flag=True, help="Show the picture as it forms, where a terminal can.")
no_wait_option = click.option("--no-wait", is_flag=True, help="Print the job's id and return at once.")


def check_waiting(out: Path | None, *, no_wait: bool) -> None:
    """Raise a `UsageError` if nobody will be there to write the picture."""
    if no_wait and out:
        raise click.UsageError("--no-wait leaves before there is a picture to write: drop it or -o.")


def follow(client: Client, job: Job, way_back: str, *, preview: bool = False) -> Job:
    """Show a job's bar until it ends, and its picture if wished; on Ctrl-C leave it running and say the `way_back`."""
    console = Console(stderr=True)
    try:
        with JobBar(job, console, pane=_pane(client, job, console) if preview else None) as bar:
            return client.wait(job.id, on_event=bar.show)
    except KeyboardInterrupt:
        raise Interrupted(f"The job goes on without you. Come back with `{way_back}`.") from None


def finish(client: Client, job: Job, out: Path | None, *, preview: bool = False) -> Job:
    """See a job to its end, write its picture, or the part of it that was painted, and judge it."""
    way_back = f"atelier watch {job.id}" + (" --preview" if preview else "") + (f" -o {out}" if out else "")
    ended = job if job.ended else follow(client, job, way_back, preview=preview)
    if out and ended.result:
        client.download(ended.id, out)
        say(f"Wrote {out}.")
        if (ended.weights or {}).get("name") == LAST_RESORT_WEIGHTS:
            say(LAST_RESORT_WARNING)
    ensure_succeeded(ended)
    return ended


def _pane(client: Client, job: Job, console: Console) -> Pane | None:
    """Make room for the picture; None where it cannot be shown."""
    from api.cli.display.terminal_images import (
        way_to_draw,  # with it comes the reading of pictures, which few commands need
    )

    draw = way_to_draw(console, os.environ)
    return Pane(console, draw, lambda: client.preview(job.id)) if draw else None


def print_json(value: Any) -> None:
    """Print one value for programs."""
    click.echo(json.dumps(value, indent=2))


def tell(job: Job, sentence: str | None, *, as_json: bool) -> None:
    """Print a job as JSON, or a sentence about it if there is one."""
    if as_json:
        print_json(job.raw())
    elif sentence:
        click.echo(sentence)


def say(sentence: str) -> None:
    """Tell people something, on stderr, since stdout is for programs."""
    Console(stderr=True).print(sentence, highlight=False, markup=False, soft_wrap=True)
