"""`atelier batch`: paint a whole folder in one style."""

from pathlib import Path
from typing import Any

import click

from api.cli.display.batch_bar import BatchBar
from api.cli.display.output import counted, echo, print_json, say
from api.cli.display.tables import FailedPicture, print_failed_pictures
from api.cli.errors import Interrupted, JobUnsuccessful
from api.cli.folder import plan, report, state
from api.cli.folder.plan import Planned
from api.cli.folder.run import BatchRun
from api.cli.folder.state import Started
from api.cli.folder.walk import Found, walk
from api.cli.options import (
    PICTURE,
    connect,
    json_option,
    no_wait_option,
    strength_option,
    url_option,
)
from api.cli.outputs import check_depth, check_overwriting
from api.cli.ranges import IntRange
from api.client import ApiProblem, Client
from api.client.files import check_path
from shared.imaging.filenames import STATE_FILE
from shared.painting.cli_options import chosen_params, depth_option, metadata_option, params_options
from shared.painting.params import PRESETS, WEIGHTS_NAMES
from shared.texts import printable


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
@click.option("--max-parallel", type=IntRange(min=1), help="Maximum number of pictures painted at once.")
@click.option("--priority", type=int, help="Of one owner's jobs, higher runs first [0].")
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

    Hidden folders, those that devices keep and the results of other batches are left out. No result replaces a picture.
    Repeat the command to continue, even on another day: finished pictures are neither uploaded nor painted again.
    Ctrl-C leaves the batch running.
    """
    check_depth(options["depth"], format_)
    suffix = {"jpeg": ".jpg"}.get(format_, f".{format_}")
    recorded = state.read(out)
    found, planned = _plan(folder, out, styles, suffix, recorded, new=new)
    failed = [*found.failed, *planned.failed]
    with connect(url) as client:
        request = _request(client, styles, options)
        settings = plan.hash_of(request, suffix, options["strength"])
        earlier = None if new else _continued(recorded, out, settings)
        missing = {key: path for key, path in planned.results.items() if not (earlier and path.is_file())}
        batch_id = earlier.batch_id if earlier else None
        if missing:
            batch_id = _open_batch(client, earlier, request, options)
            state.remember(out, _started(batch_id, settings, folder, out, planned, recorded))
            say(f"Batch {batch_id}: `atelier batches show {batch_id}` shows its progress from elsewhere.")
    if batch_id is not None and missing:
        pictures = {key: folder / found.pictures[key] for key in missing}
        unpainted = _run(url, batch_id, pictures, missing, strength=options["strength"], no_wait=no_wait)
        failed += report.named(unpainted, found.pictures)
    if as_json:
        print_json(report.as_json(batch_id, found, failed))
    elif no_wait and missing:
        echo(batch_id)
    else:
        say(outcome(len(planned.results), len(missing), len(failed) - len(found.failed) - len(planned.failed), out))
    if failed:
        if not as_json:
            print_failed_pictures(failed)
        raise JobUnsuccessful(f"{len(failed)} of {counted(len(found.pictures) + len(found.failed), 'picture')} failed.")


def _plan(
    folder: Path, out: Path, styles: tuple[Path, ...], suffix: str, earlier: Started | None, *, new: bool
) -> tuple[Found, Planned]:
    """Find the pictures and decide where their results go; raise a `UsageError` rather than lose a file."""
    found = walk(folder, out)
    report.say_left_out(found)
    if not (found.pictures or found.failed):
        raise click.UsageError(f"There are no pictures below {printable(folder)}.")
    planned = plan.plan(found.pictures, out, suffix)
    check_overwriting(planned.results.values(), [*(folder / path for path in found.pictures.values()), *styles])
    if not new:
        _refuse_others(earlier, folder, out)
        if earlier is None or earlier.results is not None:
            plan.refuse_unknown(planned.results, out, (earlier and earlier.results) or ())
    check_path(out / STATE_FILE)
    return found, planned


def _refuse_others(earlier: Started | None, folder: Path, out: Path) -> None:
    """Raise a `UsageError` if `out` has the results of another folder, whose pictures may have the same names."""
    if earlier is not None and earlier.pictures not in (None, state.way(out, folder)):
        others = printable((out / earlier.pictures).resolve())
        raise click.UsageError(
            f"{printable(out)} has the results of other pictures, those in {others}: choose another folder, or add "
            "--new."
        )


def _started(
    batch_id: str, settings: str, folder: Path, out: Path, planned: Planned, earlier: Started | None
) -> Started:
    """Describe the batch that is to be recorded; earlier results remain known as results."""
    pictures = state.way(out, folder)
    names = frozenset(path.relative_to(out).as_posix() for path in planned.results.values())
    if earlier is not None and earlier.results is not None and earlier.pictures == pictures:
        names |= earlier.results
    return Started(batch_id, settings, pictures, names)


def outcome(count: int, missing: int, unpainted: int, out: Path) -> str:
    """Say how many of `count` pictures were written to `out`: those that were missing and could be painted."""
    where = "this folder" if out == Path() else f"{printable(out)}/"
    if missing:
        return f"Wrote {counted(missing - unpainted, 'picture')} to {where}."
    return f"All {counted(count, 'picture')} are already in {where}."


def _request(client: Client, styles: tuple[Path, ...], options: dict[str, Any]) -> dict[str, Any]:
    request = {"styles": [{"image": client.upload(style).id} for style in styles], "params": chosen_params(options)}
    return request | {
        name: options[name] for name in ("preset", "weights", "depth", "keep_metadata") if options[name] is not None
    }


def _continued(earlier: Started | None, out: Path, settings: str) -> Started | None:
    """Return the batch whose results are in `out`; raise a `UsageError` if it had other settings."""
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
            run = BatchRun(lambda: connect(url), batch_id, results, bar, strength=strength)
            return run.upload_only(pictures) if no_wait else run.run(pictures)
    except KeyboardInterrupt:
        raise Interrupted(
            f"Batch {batch_id} keeps running. Repeat the command to come back to it; "
            f"`atelier batches cancel {batch_id}` cancels it."
        ) from None
