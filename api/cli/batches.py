"""`atelier batches`: batches by their ids; and `atelier matrix`, for choosing a look."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from api.cli.display.layout import Column, age, coloured, print_sheet, print_table
from api.cli.follow import json_option, print_json, say
from api.cli.options import connect, url_option
from api.client import Batch
from api.client.batches import BatchAction, BatchPart
from api.client.files import check_path
from shared.painting.cli_options import read_value
from shared.painting.params import PRESETS

_COLUMNS: tuple[Column, ...] = (
    ("ID", 36),
    ("STATE", 8),
    ("DONE", 13, "right"),
    ("FAILED", 6, "right"),
    ("A MIN", 6, "right"),
    ("AGE", 6, "right"),
    ("LABEL", 0),
)
_batch_id = click.argument("batch_id", metavar="ID")
_out = click.option("-o", "--out", type=click.Path(dir_okay=False, path_type=Path), required=True, metavar="FILE")
_PICTURE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


@click.group()
def batches() -> None:
    """Show and steer batches; `atelier batch` makes them of folders."""


@batches.command("list")
@click.option("--state", type=click.Choice(["open", "running", "paused", "canceled", "finished"]))
@click.option("--label", help="Batches with this label.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True)
@json_option
@url_option
def list_(state: str | None, label: str | None, limit: int, url: str | None, *, as_json: bool) -> None:
    """List batches, newest first."""
    with connect(url) as client:
        found = list(client.batches(state=state, label=label, limit=limit))
    if as_json:
        print_json([each.raw() for each in found])
    else:
        print_table(_COLUMNS, [_row(each) for each in found], nothing="There is no batch.")


@batches.command()
@_batch_id
@json_option
@url_option
def show(batch_id: str, url: str | None, *, as_json: bool) -> None:
    """Show everything about a batch."""
    with connect(url) as client:
        _tell(client.batch(batch_id), as_json=as_json)


def _steering(way: BatchAction, help_: str) -> click.Command:
    @_batch_id
    @json_option
    @url_option
    def steer(batch_id: str, url: str | None, *, as_json: bool) -> None:
        with connect(url) as client:
            _tell(client.control_batch(batch_id, way), as_json=as_json)

    return click.command(way, help=help_)(steer)


for _command in (
    _steering("start", "Have a batch painted that is open."),
    _steering("pause", "Begin no more pictures; those that are being painted go on."),
    _steering("resume", "Go on with a batch that is paused."),
    _steering("cancel", "Cancel what has not ended, for good."),
):
    batches.add_command(_command)


@batches.command("retry-failed")
@_batch_id
@url_option
def retry_failed(batch_id: str, url: str | None) -> None:
    """Try again the pictures that failed, and print how many."""
    with connect(url) as client:
        click.echo(client.retry_failed(batch_id))


@batches.command()
@_batch_id
@click.option("--after", type=click.IntRange(min=0), default=0, help="Go on behind the result of this number.")
@click.option("--follow", is_flag=True, help="Stay until the batch has ended.")
@url_option
def results(batch_id: str, after: int, url: str | None, *, follow: bool) -> None:
    """Print what has ended, a line of JSON each."""
    with connect(url) as client:
        for result in client.batch_results(batch_id, after=after, follow=follow):
            click.echo(result.model_dump_json(exclude_unset=True))


@batches.command()
@_batch_id
@_out
@url_option
def archive(batch_id: str, out: Path, url: str | None) -> None:
    """Write the pictures that are done as one zip, with a manifest."""
    _save(batch_id, "archive.zip", out, url)


@batches.command()
@_batch_id
@_out
@url_option
def sheet(batch_id: str, out: Path, url: str | None) -> None:
    """Write the sheet of a matrix, a WebP."""
    _save(batch_id, "sheet.webp", out, url)


@batches.command()
@_batch_id
@click.argument("key")
@click.option("--size", type=click.IntRange(min=0), default=0, help="Long side in px; by default the content's own.")
@json_option
@url_option
def promote(batch_id: str, key: str, size: int, url: str | None, *, as_json: bool) -> None:
    """Paint the picture KEY of a batch for good, and print the new job's id."""
    with connect(url) as client:
        job = client.promote(batch_id, key, size=size)
    if as_json:
        print_json(job.raw())
    else:
        click.echo(job.id)


@click.command()
@click.argument("contents", type=_PICTURE, nargs=-1, required=True, metavar="CONTENT...")
@click.option("--style", "styles", type=_PICTURE, multiple=True, required=True, help="A painting; repeat it for more.")
@click.option("--vary", multiple=True, metavar="NAME=A,B,…", help="Values to try of a parameter; repeat it for more.")
@click.option("--size", type=click.IntRange(min=16), default=256, show_default=True, help="Long side of each, in px.")
@click.option("--preset", type=click.Choice(list(PRESETS)), help="A named set of parameters.")
@_out
@url_option
def matrix(
    contents: tuple[Path, ...],
    styles: tuple[Path, ...],
    vary: tuple[str, ...],
    size: int,
    preset: str | None,
    out: Path,
    url: str | None,
) -> None:
    """Paint every CONTENT in every style with every value, small, and write one sheet: for choosing a look.

    The keys on the sheet name its pictures: `atelier batches promote ID KEY` paints one for good.
    """
    check_path(out)
    with connect(url) as client:
        tried = {name: _values(text) for name, _, text in (each.partition("=") for each in vary)}
        asked = {"contents": [client.upload(path).id for path in contents], "params": tried}
        request: dict[str, Any] = {"matrix": {**asked, "styles": [client.upload(path).id for path in styles]}}
        made = client.open_batch(**request, params={"size": size}, **({"preset": preset} if preset else {}))
        for _ in client.batch_results(made.id, follow=True):
            pass
        client.download_batch(made.id, "sheet.webp", out)
    say(f"Wrote {out}. `atelier batches promote {made.id} KEY` paints one for good.")


def _values(text: str) -> list[Any]:
    return [read_value(value) for value in text.split(",")]


def _save(batch_id: str, part: BatchPart, out: Path, url: str | None) -> None:
    check_path(out)
    with connect(url) as client:
        client.download_batch(batch_id, part, out)
    say(f"Wrote {out}.")


def _row(batch: Batch) -> list[Any]:
    counts = batch.counts
    done = counts.succeeded + counts.failed + counts.canceled + counts.expired
    rate = "" if batch.rate_per_min is None else f"{batch.rate_per_min:.0f}"
    facts = [f"{done}/{counts.total}", str(counts.failed), rate, age(batch.created_at), batch.label or ""]
    return [batch.id, coloured(batch.state), *facts]


def _tell(batch: Batch, *, as_json: bool) -> None:
    if as_json:
        print_json(batch.raw())
        return
    facts = {"batch": batch.id, "state": coloured(batch.state), "label": batch.label}
    counts = {name: count for name, count in batch.counts.model_dump().items() if count}
    rest = {"a minute": batch.rate_per_min, "seconds left": batch.eta_s, "opened": batch.created_at}
    rest |= {"started": batch.started_at, "ended": batch.ended_at}
    print_sheet((name, value) for name, value in (facts | counts | rest).items() if value is not None)
