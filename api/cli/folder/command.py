"""`atelier batch`: paint a whole folder in one style."""

from pathlib import Path
from typing import Any

import click

from api.cli.display.batch_bar import BatchBar
from api.cli.display.output import counted, print_json, say
from api.cli.display.tables import FailedPicture, print_failed_pictures
from api.cli.errors import Interrupted, JobUnsuccessful
from api.cli.folder import plan
from api.cli.folder.plan import Started
from api.cli.folder.run import BatchRun
from api.cli.options import (
    PICTURE,
    connect,
    depth_option,
    json_option,
    metadata_option,
    no_wait_option,
    strength_option,
    url_option,
)
from api.client import ApiProblem, Client
from shared.painting.cli_options import chosen_params, params_options
from shared.painting.params import PRESETS, WEIGHTS_NAMES


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, readable=True, path_type=Path))
@click.option("--style", "styles", type=PICTURE, multiple=True, required=True, help="A painting; repeat to blend.")
@click.option("-o", "--out", type=click.Path(file_okay=False, path_type=Path), required=True, metavar="FOLDER",
              help="Where to write the results, under the pictures' own names.")  # fmt: skip
@click.option(
    "--format", "format_", type=click.Choice(["png", "jpeg", "webp", "tiff"]), default="png", help="Their format [png]."
)
@strength_option
@click.option("--preset", type=click.Choice(list(PRESETS)), help="A named set of parameters.")
@click.option("--weights", type=click.Choice(WEIGHTS_NAMES), help="Require these VGG19 weights; fail without them.")
@click.option("--max-parallel", type=click.IntRange(min=1), help="Maximum number of pictures painted at once.")
@click.option("--priority", type=int, help="Higher runs first.")
@click.option("--label", help="Your name for the batch, to find it again.")
@depth_option
@metadata_option
@click.option("--new", is_flag=True, help="Start over, whatever the folder of results holds.")
@no_wait_option
@json_option
@params_options
@url_option
def batch(
    folder: Path,
    styles: tuple[Path, ...],
    out: Path,
    url: str | None,
    *,
    format_: str,
    new: bool,
    no_wait: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Paint every picture below FOLDER in the same style.

    Repeat the command to continue, even on another day: finished pictures are neither uploaded nor painted again.
    Ctrl-C leaves the batch running.
    """
    suffix = {"jpeg": ".jpg"}.get(format_, f".{format_}")
    pictures = plan.find(folder, out)
    if not pictures:
        raise click.UsageError(f"There are no pictures below {folder}.")
    results = plan.outputs(list(pictures), out, suffix)
    with connect(url) as client:
        request = _request(client, styles, options)
        settings = plan.hash_of(request, suffix, options["strength"])
        earlier = None if new else _earlier(out, settings)
        missing = [key for key, path in results.items() if not (earlier and path.exists())]
        if earlier and not missing:
            say(f"All {len(pictures)} pictures are already in {out}.")
            return
        batch_id = _open_batch(client, earlier, request, options)
        plan.remember(out, Started(batch_id, settings))
        say(f"Batch {batch_id}: `atelier batches show {batch_id}` shows its progress from elsewhere.")
    missed = {key: pictures[key] for key in missing}
    failed = _run(url, batch_id, missed, results, strength=options["strength"], no_wait=no_wait)
    if as_json:
        print_json({"batch": batch_id, "pictures": len(pictures), "failures": [each._asdict() for each in failed]})
    elif no_wait:
        click.echo(batch_id)
    else:
        say(f"Wrote {counted(len(missing) - len(failed), 'picture')} to {out}/.")
    if failed:
        if not as_json:
            print_failed_pictures(failed)
        raise JobUnsuccessful(f"{len(failed)} of {counted(len(pictures), 'picture')} failed.")


def _request(client: Client, styles: tuple[Path, ...], options: dict[str, Any]) -> dict[str, Any]:
    request = {"styles": [{"image": client.upload(style).id} for style in styles], "params": chosen_params(options)}
    return request | {
        name: options[name] for name in ("preset", "weights", "depth", "keep_metadata") if options[name] is not None
    }


def _earlier(out: Path, settings: str) -> Started | None:
    """Return the batch whose results are in `out`; raise a `UsageError` if it had other settings."""
    earlier = plan.read(out)
    if earlier is not None and earlier.settings != settings:
        raise click.UsageError(f"{out} has results made with other settings: choose another folder, or add --new.")
    return earlier


def _open_batch(client: Client, earlier: Started | None, request: dict[str, Any], options: dict[str, Any]) -> str:
    """Continue the earlier batch if the server still has it, or open a new one; return its id."""
    if earlier is not None:
        try:
            if client.batch(earlier.batch_id).state != "canceled":
                client.retry_failed(earlier.batch_id)
                return earlier.batch_id
        except ApiProblem as problem:
            if problem.code != "not_found":
                raise
    fields = {name: options[name] for name in ("max_parallel", "priority", "label") if options[name] is not None}
    return client.open_batch(**request, **fields).id


def _run(
    url: str | None,
    batch_id: str,
    pictures: dict[str, Path],
    results: dict[str, Path],
    *,
    strength: float | None,
    no_wait: bool,
) -> list[FailedPicture]:
    try:
        with BatchBar(len(pictures), len(pictures)) as bar:
            wanted = {key: results[key] for key in pictures}
            run = BatchRun(lambda: connect(url), batch_id, wanted, bar, strength=strength)
            return run.upload_only(pictures) if no_wait else run.run(pictures)
    except KeyboardInterrupt:
        raise Interrupted(
            f"Batch {batch_id} keeps running. Repeat the command to come back to it; "
            f"`atelier batches cancel {batch_id}` cancels it."
        ) from None
