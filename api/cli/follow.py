"""Following a job to its end, for the commands that submit or watch one: progress bar, picture, outcome."""

import os
import shlex
from pathlib import Path

import click
from rich.console import Console

from api.cli.display.job_bar import JobBar
from api.cli.display.output import say
from api.cli.display.preview_pane import PreviewPane
from api.cli.errors import Interrupted, ensure_succeeded
from api.client import Client
from api.client.models import Job
from shared.painting.params import LAST_RESORT_WARNING, LAST_RESORT_WEIGHTS


def check_waiting(out: Path | None, *, no_wait: bool) -> None:
    """Raise a `UsageError` if the command would return before it can write the picture."""
    if no_wait and out:
        raise click.UsageError("--no-wait returns before there is a picture to write: drop it or -o.")


def check_strength(out: Path | None, strength: float | None) -> None:
    """Raise a `UsageError` for the strength of a picture that is not written."""
    if strength is not None and not out:
        raise click.UsageError("--strength is about the picture that -o writes: add -o FILE, or drop it.")


def finish(client: Client, job: Job, out: Path | None, *, preview: bool = False, strength: float | None = None) -> Job:
    """Follow a job to its end and write its picture, even a partial one, at a strength or at the saved one.

    Raises `JobUnsuccessful` unless the job succeeded.
    """
    command = "".join(
        (
            f"atelier watch {job.id}",
            " --preview" if preview else "",
            f" -o {shlex.quote(str(out))}" if out else "",
            "" if strength is None else f" --strength {strength}",
        )
    )
    ended = job if job.ended else _follow(client, job, command, preview=preview)
    if out and ended.result:
        client.download(ended.id, out, strength=strength)
        say(f"Wrote {out}.")
        if (ended.weights or {}).get("name") == LAST_RESORT_WEIGHTS:
            say(LAST_RESORT_WARNING)
    ensure_succeeded(ended)
    return ended


def _follow(client: Client, job: Job, command: str, *, preview: bool) -> Job:
    """Show a job's progress until it ends; Ctrl-C leaves it running and names the `command` that comes back to it."""
    console = Console(stderr=True)
    try:
        with JobBar(job, console, pane=_pane(client, job, console) if preview else None) as bar:
            return client.wait(job.id, on_event=bar.show)
    except KeyboardInterrupt:
        raise Interrupted(f"The job keeps running. Come back with `{command}`.") from None


def _pane(client: Client, job: Job, console: Console) -> PreviewPane | None:
    """Prepare to show the picture; None if this terminal cannot."""
    from api.cli.display.terminal_images import choose_renderer  # imports Pillow, which few commands need

    draw = choose_renderer(console, os.environ)
    return PreviewPane(console, draw, lambda: client.preview(job.id)) if draw else None
