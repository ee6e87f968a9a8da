"""`atelier submit`: ask for a picture, or with `--dry-run` for what it would take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from api.cli.display.tables import print_estimate
from api.cli.follow import (
    check_waiting,
    finish,
    json_option,
    no_wait_option,
    out_option,
    preview_option,
    print_json,
    tell,
)
from api.cli.options import Moment, connect, url_option
from api.client import Client
from api.client.files import check_picture_path
from api.client.models import DryRun, Job
from shared.painting.cli_options import chosen_params, params_options
from shared.painting.params import DEFAULT_PRESET, PRESETS, WEIGHTS_NAMES

#: Options that are wishes of the same name.
_WISHES = (
    "masks",
    "init_image",
    "init_job",
    "preset",
    "weights",
    "label",
    "priority",
    "start_by",
    "time_limit_s",
    "webhook",
    "retention_s",
)
_PICTURE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


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
@click.option("--start-by", type=Moment(), help="When a job that has not begun expires, such as 2030-01-31T12:00.")
@click.option(
    "--time-limit",
    "time_limit_s",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Longest time it may run; what was painted by then is kept.",
)
@click.option("--webhook", metavar="URL", help="Where its end is told; see `atelier webhooks`.")
@click.option(
    "--retention",
    "retention_s",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="How long its files stay once it has ended.",
)
@click.option("--id", "job_id", type=click.UUID, help="A UUID of yours; the same command again is the same job.")
@click.option("--idempotency-key", hidden=True, help="The same key again is the same job.")
@preview_option
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
    preview: bool,
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
        check_picture_path(out)
    with connect(url) as client:
        job = _submitted(client, (content, styles), wishes, options)
        if out:
            job = finish(client, job, out, preview=preview)
    tell(job, job.id if no_wait else None, as_json=as_json)


def _submitted(
    client: Client, pictures: tuple[Path, tuple[Path, ...]], wishes: dict[str, Any], options: dict[str, Any]
) -> Job:
    """Submit under the id or the key of the user's own, if there is one."""
    if options["job_id"]:
        return client.put(str(options["job_id"]), *pictures, **wishes)
    return client.submit(*pictures, idempotency_key=options["idempotency_key"], **wishes)


def _wishes(options: dict[str, Any], styles: tuple[Path, ...]) -> dict[str, Any]:
    """Collect what was wished for beside the pictures to paint."""
    if len(options["masks"]) > len(styles):
        raise click.UsageError(
            f"There are more masks ({len(options['masks'])}) than styles ({len(styles)}); each style takes one."
        )
    if options["init_image"] and options["init_job"]:
        raise click.UsageError("A painting starts from one picture: drop --init-image or --init-job.")
    if options["job_id"] and options["idempotency_key"]:
        raise click.UsageError("--id makes a job once by itself: drop --idempotency-key.")
    wishes: dict[str, Any] = {name: options[name] for name in _WISHES}
    return {**wishes, "params": chosen_params(options)}


def _tell_estimate(found: DryRun, *, as_json: bool) -> None:
    if as_json:
        print_json(found.raw())
    else:
        print_estimate(found.estimate)
