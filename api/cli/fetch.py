"""Commands that fetch what a job produces: picture, timelapse, newest frame, losses, manifest, events."""

import csv
import io
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import click
from rich.console import Console

from api.cli.display.job_bar import step_text
from api.cli.display.output import echo, echo_lines, print_json, say
from api.cli.options import client_option, json_option, out_option, strength_option
from api.client import Client
from api.client.files import check_path, check_picture_path, unused_path, write_whole
from api.client.models import Event, Job, Progress
from shared.texts import UNPRINTABLE

_job_id = click.argument("job_id", metavar="ID")
_file = click.option(
    "-o", "--out", type=click.Path(path_type=Path), metavar="FILE", required=True, help="Where to write it."
)


@click.command()
@_job_id
@out_option
@strength_option
@client_option
def result(client: Client, job_id: str, out: Path | None, strength: float | None) -> None:
    """Write the picture of an ended job; the file's suffix decides the format.

    Without -o, it is written into this folder as a PNG, under the name of its photograph.
    """
    out = out or _named_after(client.job(job_id))
    check_picture_path(out)
    client.download(job_id, out, strength=strength)
    say(f"Wrote {out}.")


@click.command()
@_job_id
@_file
@client_option
def timelapse(client: Client, job_id: str, out: Path) -> None:
    """Write the timelapse, an animated WebP, of a job submitted with --timelapse."""
    _check_suffix(out, ".webp")
    check_path(out)
    client.download_timelapse(job_id, out)
    say(f"Wrote {out}.")


@click.command()
@_job_id
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="FILE", help="Where to write it, a JPEG.")
@strength_option
@client_option
def preview(client: Client, job_id: str, out: Path | None, strength: float | None) -> None:
    """Show a job's newest frame in the terminal, or write it as a JPEG to FILE or into a pipe."""
    if out:
        _check_suffix(out, ".jpg", ".jpeg")
        check_path(out)
    frame = client.preview(job_id, strength=strength)
    if out:
        write_whole(out, frame)
        say(f"Wrote {out}.")
    elif sys.stdout.isatty():
        _draw(frame)
    else:
        sys.stdout.buffer.write(frame)


@click.command()
@_job_id
@json_option
@client_option
def losses(client: Client, job_id: str, *, as_json: bool) -> None:
    """Print the losses of every step as CSV; with --json, as columns."""
    columns = client.losses(job_id)
    if as_json:
        print_json(columns)
        return
    written = io.StringIO()
    table = csv.writer(written, lineterminator="\n")
    table.writerow(columns)
    table.writerows(zip(*columns.values(), strict=True))
    echo_lines(written.getvalue())


@click.command()
@_job_id
@click.option("--json", is_flag=True, expose_value=False, help="Print JSON, which this command always does.")
@client_option
def manifest(client: Client, job_id: str) -> None:
    """Print a picture's manifest as JSON; `atelier rerun` paints the picture again from it."""
    print_json(client.manifest(job_id))


@click.command()
@_job_id
@json_option
@client_option
def events(client: Client, job_id: str, *, as_json: bool) -> None:
    """Print a job's events, past and future, until it ends: one per line, with --json as JSON."""
    for event in client.events(job_id):
        echo(json.dumps(event._asdict()) if as_json else _event_text(event))


def _named_after(job: Job) -> Path:
    """Return an unused path in this folder; the server's name for the photograph is no path, and may be anything."""
    name = PurePosixPath(UNPRINTABLE.sub("_", job.name or "").replace("\\", "/")).name.lstrip(".")
    return unused_path(PurePosixPath(name).stem or f"atelier-{job.id}", ".png")


def _event_text(event: Event) -> str:
    milliseconds = event.id.partition("-")[0]
    at = datetime.fromtimestamp(int(milliseconds) / 1000, UTC).astimezone() if milliseconds.isdigit() else None
    return f"{at.strftime('%H:%M:%S') if at else '':8}  {event.name:<8}{_event_detail(event)}".rstrip()


def _event_detail(event: Event) -> str:
    if event.name == "step":
        return step_text(Progress.model_validate(event.data))
    if "state" in event.data:
        return str(event.data["state"])
    return ", ".join(f"{name} {value}" for name, value in event.data.items() if value is not None)


def _check_suffix(path: Path, *suffixes: str) -> None:
    if path.suffix.lower() not in suffixes:
        raise click.UsageError(f"{path}: only {suffixes[0]} can be written.")


def _draw(frame: bytes) -> None:
    from api.cli.display.preview_pane import PreviewPane
    from api.cli.display.terminal_images import choose_renderer  # imports Pillow

    console = Console()
    draw = choose_renderer(console, os.environ)
    if draw is None:
        raise click.UsageError("This terminal cannot show pictures: write to a file with -o FILE.")
    PreviewPane(console, draw, lambda: frame).show(frame)
