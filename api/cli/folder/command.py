"""`atelier batch`: paint a whole folder in one style."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from api.cli.display.batch_bar import BatchBar
from api.cli.display.layout import print_table
from api.cli.errors import Interrupted, JobUnsuccessful
from api.cli.folder import plan
from api.cli.folder.plan import Begun
from api.cli.folder.run import BatchRun, Trouble
from api.cli.follow import json_option, no_wait_option, print_json, say
from api.cli.options import connect, url_option
from api.client import ApiProblem, Client
from shared.painting.cli_options import chosen_params, params_options
from shared.painting.params import PRESETS, WEIGHTS_NAMES

_STYLE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, readable=True, path_type=Path))
@click.option("--style", "styles", type=_STYLE, multiple=True, required=True, help="The painting; several are blended.")
@click.option("-o", "--out", type=click.Path(file_okay=False, path_type=Path), required=True, metavar="FOLDER",
              help="Where the results are written, by the names of the pictures.")  # fmt: skip
@click.option(
    "--format", "format_", type=click.Choice(["png", "jpeg", "webp"]), default="png", help="Of the results [png]."
)
@click.option("--preset", type=click.Choice(list(PRESETS)), help="A named set of parameters.")
@click.option("--weights", type=click.Choice(WEIGHTS_NAMES), help="Fail rather than paint with other VGG19 weights.")
@click.option("--max-parallel", type=click.IntRange(min=1), help="Most pictures painted at once.")
@click.option("--priority", type=int, help="Higher goes first.")
@click.option("--label", help="A name of yours, to find the batch again.")
@click.option("--new", is_flag=True, help="Begin anew, whatever lies in the folder of results.")
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
    """Paint every picture below FOLDER in the style of one painting.

    The same command again goes on where it stopped, also on another day: what is done is neither uploaded nor painted
    again. Ctrl-C leaves the batch running.
    """
    suffix = {"jpeg": ".jpg"}.get(format_, f".{format_}")
    pictures = plan.find(folder, out)
    if not pictures:
        raise click.UsageError(f"There is no picture below {folder}.")
    places = plan.outputs(list(pictures), out, suffix)
    with connect(url) as client:
        request = _request(client, styles, options)
        settings = plan.settings_of(request, suffix)
        former = None if new else _former(out, settings)
        missing = list(plan.missing(places)) if former else list(pictures)
        if former and not missing:
            say(f"All {len(pictures)} pictures are there.")
            return
        batch_id = _batch(client, former, request, options)
        plan.remember(out, Begun(batch_id, settings))
    troubles = _see_through(url, batch_id, {key: pictures[key] for key in missing}, places, no_wait=no_wait)
    _tell(batch_id, len(pictures), troubles, as_json=as_json, waited=not no_wait)


def _request(client: Client, styles: tuple[Path, ...], options: dict[str, Any]) -> dict[str, Any]:
    request = {"styles": [{"image": client.upload(style).id} for style in styles], "params": chosen_params(options)}
    return request | {name: options[name] for name in ("preset", "weights") if options[name] is not None}


def _former(out: Path, settings: str) -> Begun | None:
    former = plan.begun(out)
    if former is not None and former.settings != settings:
        raise click.UsageError(f"{out} has results by other settings: choose another folder, or say --new.")
    return former


def _batch(client: Client, former: Begun | None, request: dict[str, Any], options: dict[str, Any]) -> str:
    """Go on with the batch of before if the server still has it, or open one; return its id."""
    if former is not None:
        try:
            if client.batch(former.batch_id).state != "canceled":
                client.retry_failed(former.batch_id)
                return former.batch_id
        except ApiProblem as problem:
            if problem.code != "not_found":
                raise
    wishes = {name: options[name] for name in ("max_parallel", "priority", "label") if options[name] is not None}
    return client.open_batch(**request, **wishes).id


def _see_through(
    url: str | None, batch_id: str, pictures: dict[str, Path], places: dict[str, Path], *, no_wait: bool
) -> list[Trouble]:
    try:
        with BatchBar(len(pictures), len(pictures)) as bar:
            run = BatchRun(lambda: connect(url), batch_id, {key: places[key] for key in pictures}, bar)
            return run.upload_only(pictures) if no_wait else run.run(pictures)
    except KeyboardInterrupt:
        raise Interrupted(
            f"Batch {batch_id} goes on without you. The same command again comes back to it; "
            f"`atelier batches cancel {batch_id}` ends it."
        ) from None


def _tell(batch_id: str, count: int, troubles: list[Trouble], *, as_json: bool, waited: bool) -> None:
    if as_json:
        print_json({"batch": batch_id, "pictures": count, "failures": [trouble._asdict() for trouble in troubles]})
    elif waited:
        say(f"{count - len(troubles)} of {count} pictures are there.")
    else:
        click.echo(batch_id)
    if troubles:
        if not as_json:
            rows = [(trouble.key, trouble.code, trouble.message) for trouble in sorted(troubles)]
            print_table((("PICTURE", 0), ("CODE", 16), ("WHY", 0)), rows, nothing="")
        raise JobUnsuccessful(f"{len(troubles)} of {count} pictures did not come out; the others are there.")
