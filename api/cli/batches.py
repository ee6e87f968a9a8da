"""`atelier batches` about existing batches, and `atelier matrix`, which helps to choose a look."""

import json
import math
import shlex
from pathlib import Path
from typing import Any

import click

from api.cli.display.layout import Column, age, coloured, print_facts
from api.cli.display.output import counted, echo, emit, emit_table, print_id, say
from api.cli.display.tables import FailedPicture, print_failed_pictures
from api.cli.errors import Interrupted, JobUnsuccessful
from api.cli.options import PICTURE, client_option, json_option, limit_option, time_limit_option
from api.cli.outputs import check_overwriting
from api.cli.ranges import IntRange
from api.client import Batch, Client
from api.client.batches import BatchAction, BatchPart
from api.client.files import check_path
from shared.painting.cli_options import read_value
from shared.painting.params import PRESETS
from shared.states import BatchState

_COLUMNS: tuple[Column, ...] = (
    ("ID", 36),
    ("STATE", 8),
    ("DONE", 13, "right"),
    ("FAILED", 6, "right"),
    ("PER MIN", 7, "right"),
    ("AGE", 6, "right"),
    ("LABEL", 0),
)
_batch_id = click.argument("batch_id", metavar="ID")
_out = click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    metavar="FILE",
    help="Where to write it.",
)


@click.group()
def batches() -> None:
    """Show and control batches; `atelier batch` creates them from folders."""


@batches.command("list")
@click.option("--state", type=click.Choice([state.value for state in BatchState]), help="Only batches in this state.")
@click.option("--label", help="Only batches with this label.")
@limit_option("batches")
@json_option
@client_option
def list_(client: Client, state: str | None, label: str | None, limit: int, *, as_json: bool) -> None:
    """List batches, newest first."""
    found = client.batches(state=state, label=label, limit=limit)
    emit_table(found, _COLUMNS, _cells, nothing="No batches.", as_json=as_json)


@batches.command()
@_batch_id
@json_option
@client_option
def show(client: Client, batch_id: str, *, as_json: bool) -> None:
    """Show everything about a batch."""
    emit(client.batch(batch_id), _print_batch, as_json=as_json)


def _add_control_command(action: BatchAction, help_: str) -> None:
    @batches.command(action, help=help_)
    @_batch_id
    @json_option
    @client_option
    def control(client: Client, batch_id: str, *, as_json: bool) -> None:
        emit(client.control_batch(batch_id, action), _print_batch, as_json=as_json)


_add_control_command("start", "Start an open batch.")
_add_control_command("pause", "Pause a batch; pictures being painted still finish.")
_add_control_command("resume", "Resume a paused batch.")
_add_control_command("cancel", "Cancel all pictures that have not ended, permanently.")


@batches.command("retry-failed")
@_batch_id
@time_limit_option
@client_option
def retry_failed(client: Client, batch_id: str, time_limit_s: float | None) -> None:
    """Retry the failed and expired pictures, and print how many there are.

    Each keeps its time limit unless --time-limit gives another.
    """
    echo(client.retry_failed(batch_id, time_limit_s=time_limit_s))


@batches.command()
@_batch_id
@click.option("--after", type=IntRange(min=0), default=0, help="Only results after this number.")
@click.option("--follow", is_flag=True, help="Keep printing until the batch ends.")
@client_option
def results(client: Client, batch_id: str, after: int, *, follow: bool) -> None:
    """Print the results so far, one line of JSON each."""
    for result in client.batch_results(batch_id, after=after, follow=follow):
        echo(json.dumps(result.raw()))


@batches.command()
@_batch_id
@_out
@client_option
def archive(client: Client, batch_id: str, out: Path) -> None:
    """Write the finished pictures and a manifest as one zip."""
    _save(client, batch_id, "archive.zip", out)


@batches.command()
@_batch_id
@_out
@client_option
def sheet(client: Client, batch_id: str, out: Path) -> None:
    """Write a matrix's contact sheet, a WebP."""
    _save(client, batch_id, "sheet.webp", out)


@batches.command()
@_batch_id
@click.argument("key")
@click.option("--size", type=IntRange(min=0), default=0, help="Long side in px; 0 keeps the content's own size.")
@json_option
@client_option
def promote(client: Client, batch_id: str, key: str, size: int, *, as_json: bool) -> None:
    """Paint picture KEY of a batch as a job of its own, and print the job's id."""
    emit(client.promote(batch_id, key, size=size), print_id, as_json=as_json)


def _read_variations(_ctx: click.Context, _param: click.Parameter, given: tuple[str, ...]) -> dict[str, list[Any]]:
    """Read every `NAME=A,B,…`; raise `BadParameter` for another form, an empty value or a repeated name."""
    variations: dict[str, list[Any]] = {}
    for each in given:
        name, values = each.partition("=")[0].strip(), [value.strip() for value in each.partition("=")[2].split(",")]
        if not name or not all(values):
            raise click.BadParameter(f"{each!r} is not NAME=A,B,…, such as style_weight=1,5.")
        if name in variations:
            raise click.BadParameter(f"{name} is given twice: write all its values as {name}=A,B,….")
        variations[name] = [read_value(value) for value in values]
        if not all(math.isfinite(value) for value in variations[name] if isinstance(value, float)):
            raise click.BadParameter(f"{each!r} has a value that is not a finite number.")
    return variations


@click.command()
@click.argument("contents", type=PICTURE, nargs=-1, required=True, metavar="CONTENT...")
@click.option("--style", "styles", type=PICTURE, multiple=True, required=True, help="A painting; repeatable.")
@_out
@click.option(
    "--vary",
    "variations",
    multiple=True,
    callback=_read_variations,
    metavar="NAME=A,B,…",
    help="Values of a parameter to try, without commas of their own; repeat it for other parameters.",
)
@click.option("--size", type=IntRange(min=16), default=256, show_default=True, help="Long side of each, in px.")
@click.option("--preset", type=click.Choice(list(PRESETS)), help="A named set of parameters.")
@client_option
def matrix(
    client: Client,
    contents: tuple[Path, ...],
    styles: tuple[Path, ...],
    out: Path,
    variations: dict[str, list[Any]],
    size: int,
    preset: str | None,
) -> None:
    """Paint every CONTENT small, in every style with every value, onto one contact sheet.

    Choose a picture by its key on the sheet; `atelier batches promote ID KEY` then paints it at full size.
    """
    check_overwriting([out], [*contents, *styles])
    check_path(out)
    request: dict[str, Any] = {
        "matrix": {
            "contents": [client.upload(path).id for path in contents],
            "params": variations,
            "styles": [client.upload(path).id for path in styles],
        },
        "params": {"size": size},
    }
    batch = client.open_batch(**request, **({"preset": preset} if preset else {}))
    sheet_so_far = f"atelier batches sheet {batch.id} -o {shlex.quote(str(out))}"
    say(f"Batch {batch.id} is being painted; `{sheet_so_far}` writes what has finished.")
    try:
        results = list(client.batch_results(batch.id, follow=True))
    except KeyboardInterrupt:
        raise Interrupted(f"The batch keeps being painted. `{sheet_so_far}` writes what has finished.") from None
    client.download_batch(batch.id, "sheet.webp", out)
    failed = [FailedPicture.of(result) for result in results if result.state != "succeeded"]
    hint = f" `atelier batches promote {batch.id} KEY` paints a picture of it at full size."
    say(f"Wrote {out}." + (hint if len(failed) < len(results) else ""))
    if failed:
        print_failed_pictures(failed)
        raise JobUnsuccessful(f"{len(failed)} of {counted(len(results), 'picture')} failed.")


def _save(client: Client, batch_id: str, part: BatchPart, out: Path) -> None:
    check_path(out)
    client.download_batch(batch_id, part, out)
    say(f"Wrote {out}.")


def _cells(batch: Batch) -> tuple[Any, ...]:
    counts = batch.counts
    rate = "" if batch.rate_per_min is None else f"{batch.rate_per_min:.0f}"
    figures = (f"{counts.ended}/{counts.total}", str(counts.failed), rate, age(batch.created_at))
    return batch.id, coloured(batch.state), *figures, batch.label or ""


def _print_batch(batch: Batch) -> None:
    print_facts(
        {
            "batch": batch.id,
            "state": coloured(batch.state),
            "label": batch.label,
            **{name: count for name, count in batch.counts.model_dump().items() if count},
            "per minute": batch.rate_per_min,
            "seconds left": batch.eta_s,
            "opened": batch.created_at,
            "started": batch.started_at,
            "ended": batch.ended_at,
        }
    )
