"""`atelier submit`: ask for a picture, or with `--dry-run` for what it would take."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from api.cli.connection import connect, url_option
from api.cli.following import check_waiting, finish, json_option, no_wait_option, out_option, tell
from api.cli.tables import print_estimate
from api.client_models import DryRun
from api.outputs import check_writable
from shared.options import chosen_params, params_options
from shared.params import DEFAULT_PRESET, PRESETS, WEIGHTS_NAMES

_PICTURE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


class _Moment(click.ParamType[datetime]):
    """A moment; one without a zone is in this machine's."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read ISO 8601."""
        if isinstance(value, datetime):
            return value
        try:
            return datetime.fromisoformat(value).astimezone()
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is not a time such as 2030-01-31T12:00 or 2030-01-31T12:00:00Z.", param, ctx)


@click.command()
@click.argument("content", type=_PICTURE)
@click.argument("styles", type=_PICTURE, nargs=-1, required=True, metavar="STYLE...")
@out_option
@click.option(
    "--mask",
    "masks",
    type=_PICTURE,
    multiple=True,
    metavar="FILE",
    help="Where a style counts: white in full, black not at all. Repeat it in the order of the styles.",
)
@click.option("--init-image", type=_PICTURE, metavar="FILE", help="The picture that the painting starts from.")
@click.option("--init-job", metavar="ID", help="The job whose picture the painting starts from; or --init-image.")
@click.option("--preset", type=click.Choice(list(PRESETS)), help=f"A named set of parameters [{DEFAULT_PRESET}].")
@click.option("--weights", type=click.Choice(WEIGHTS_NAMES), help="Fail rather than paint with other VGG19 weights.")
@click.option("--label", help="A name of yours, to find the job again.")
@click.option("--priority", type=int, help="Higher goes first.")
@click.option("--start-by", type=_Moment(), help="When a job that has not begun expires, such as 2030-01-31T12:00.")
@click.option(
    "--time-limit",
    "time_limit_s",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Longest time it may run; what was painted by then is kept.",
)
@no_wait_option
@click.option("--dry-run", is_flag=True, help="Print the time, memory and scales it would take, and queue nothing.")
@json_option
@params_options
@url_option
def submit(
    content: Path,
    styles: tuple[Path, ...],
    out: Path | None,
    url: str | None,
    *,
    no_wait: bool,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Paint the photograph CONTENT in the style of the painting STYLE.

    Several styles are blended in equal parts, or each paints where its mask says.
    """
    check_waiting(out, no_wait=no_wait)
    if not (no_wait or out or dry_run):
        raise click.UsageError("Say where to write the picture with -o FILE, or --no-wait.")
    wishes = _wishes(options, styles)
    if dry_run:
        with connect(url) as client:
            _tell_estimate(client.dry_run(content, styles, **wishes), as_json=as_json)
        return
    if out:
        check_writable(out)
    with connect(url) as client:
        job = client.submit(content, styles, **wishes)
        if out:
            job = finish(client, job, out)
    tell(job, job.id if no_wait else None, as_json=as_json)


def _wishes(options: dict[str, Any], styles: tuple[Path, ...]) -> dict[str, Any]:
    """Collect what was wished for beside the pictures to paint."""
    if len(options["masks"]) > len(styles):
        raise click.UsageError(
            f"There are more masks ({len(options['masks'])}) than styles ({len(styles)}); each style takes one."
        )
    if options["init_image"] and options["init_job"]:
        raise click.UsageError("A painting starts from one picture: drop --init-image or --init-job.")
    names = ("masks", "init_image", "init_job", "preset", "weights", "label", "priority", "start_by", "time_limit_s")
    wishes: dict[str, Any] = {name: options[name] for name in names}
    return {**wishes, "params": chosen_params(options)}


def _tell_estimate(found: DryRun, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(found.raw(), indent=2))
    else:
        print_estimate(found.estimate)
