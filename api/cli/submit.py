"""`atelier submit`: submit a job, or with `--dry-run` predict what it would take."""

from pathlib import Path
from typing import Any

import click

from api.cli.display.output import emit, print_id
from api.cli.display.tables import print_estimate
from api.cli.follow import check_strength, check_waiting, finish
from api.cli.options import (
    PICTURE,
    client_option,
    json_option,
    no_wait_option,
    out_option,
    preview_option,
    run_options,
    strength_option,
)
from api.cli.outputs import check_depth, check_overwriting
from api.client import Client
from api.client.files import check_picture_path, format_of, unused_path
from api.client.job_request import JobOptions
from api.client.models import Job
from shared.painting.cli_options import chosen_params, depth_option, metadata_option, params_options
from shared.painting.params import DEFAULT_PRESET, PRESETS, WEIGHTS_NAMES


@click.command()
@click.argument("content", type=PICTURE)
@click.argument("styles", type=PICTURE, nargs=-1, required=True, metavar="STYLE...")
@out_option
@strength_option
@click.option(
    "--mask",
    "masks",
    type=PICTURE,
    multiple=True,
    metavar="FILE",
    help="Where a style applies: white fully, black not at all. Repeat it in the order of the styles.",
)
@click.option("--init-image", type=PICTURE, metavar="FILE", help="The picture to start painting from.")
@click.option("--init-job", metavar="ID", help="Start painting from this job's result, instead of --init-image.")
@click.option("--preset", type=click.Choice(list(PRESETS)), help=f"A named set of parameters [{DEFAULT_PRESET}].")
@click.option("--weights", type=click.Choice(WEIGHTS_NAMES), help="Require these VGG19 weights; fail without them.")
@click.option("--label", help="Your name for the job, to find it again.")
@run_options
@depth_option
@metadata_option
@click.option("--id", "job_id", type=click.UUID, help="Your own UUID for the job; repeating it submits nothing new.")
@click.option("--idempotency-key", hidden=True, help="A key that makes repeating the command submit nothing new.")
@preview_option
@no_wait_option
@click.option("--dry-run", is_flag=True, help="Print the predicted time, memory and scales; submit nothing.")
@json_option
@params_options
@client_option
def submit(
    client: Client,
    content: Path,
    styles: tuple[Path, ...],
    out: Path | None,
    *,
    no_wait: bool,
    dry_run: bool,
    as_json: bool,
    preview: bool,
    **options: Any,
) -> None:
    """Paint the photograph CONTENT in the style of the painting STYLE.

    Several styles are blended equally, or each is painted where its mask allows. Without -o, the picture is written
    into this folder as CONTENT-STYLE.png.
    """
    check_waiting(out, no_wait=no_wait)
    if not (no_wait or out or dry_run):
        out = unused_path(f"{content.stem}-{styles[0].stem}", ".png")
    check_strength(out, options["strength"])
    _check(options, styles)
    if out and not dry_run:
        check_overwriting([out], [content, *styles, *options["masks"], options["init_image"]])
        check_depth(options["depth"], format_of(out))
        check_picture_path(out)
    # the command's options have the names of the client's
    given = {name: options[name] for name in JobOptions.__annotations__ if name in options}
    job_options = given | {"params": chosen_params(options)}
    if dry_run:
        found = client.dry_run(content, styles, **job_options)
        emit(found, lambda predicted: print_estimate(predicted.estimate), as_json=as_json)
        return
    job = _submit(client, (content, styles), job_options, options)
    if out:
        job = finish(client, job, out, preview=preview, strength=options["strength"])
    if as_json or no_wait:
        emit(job, print_id, as_json=as_json)


def _submit(
    client: Client, pictures: tuple[Path, tuple[Path, ...]], job_options: dict[str, Any], options: dict[str, Any]
) -> Job:
    """Submit under the user's own id or idempotency key, if there is one."""
    if options["job_id"]:
        return client.put(str(options["job_id"]), *pictures, **job_options)
    return client.submit(*pictures, idempotency_key=options["idempotency_key"], **job_options)


def _check(options: dict[str, Any], styles: tuple[Path, ...]) -> None:
    """Raise a `UsageError` for options that contradict each other."""
    if len(options["masks"]) > len(styles):
        raise click.UsageError(
            f"There are more masks ({len(options['masks'])}) than styles ({len(styles)}); each style takes one."
        )
    if options["init_image"] and options["init_job"]:
        raise click.UsageError("A painting starts from one picture: drop --init-image or --init-job.")
    if options["job_id"] and options["idempotency_key"]:
        raise click.UsageError("--id already makes the job unique: drop --idempotency-key.")
