"""`atelier rerun`: paint a picture again from its manifest, and compare the bytes."""

from pathlib import Path
from typing import Any, BinaryIO

import click

from api.cli.display.output import emit, print_id, say
from api.cli.errors import PicturesGone
from api.cli.follow import check_strength, check_waiting, finish
from api.cli.options import client_option, json_option, no_wait_option, out_option, run_options, strength_option
from api.cli.outputs import check_overwriting
from api.client import Client
from api.client.files import check_picture_path
from api.client.manifest import Manifest
from api.client.models import Job


@click.command()
@click.argument("manifest", type=click.File("rb"))
@out_option
@strength_option
@run_options
@no_wait_option
@json_option
@client_option
def rerun(
    client: Client,
    manifest: BinaryIO,
    out: Path | None,
    strength: float | None,
    *,
    no_wait: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Paint a picture again from its MANIFEST, and compare the results.

    MANIFEST is the JSON printed by `atelier manifest`, or - to read it from stdin. The server must still have the
    pictures that it names.
    """
    check_waiting(out, no_wait=no_wait)
    check_strength(out, strength)
    before = Manifest.read(manifest.read())
    if out:
        check_overwriting([out], [Path(str(getattr(manifest, "name", "-")))])
        check_picture_path(out)
    job = _submit(client, before, options)
    if not no_wait:
        job = finish(client, job, out, strength=strength)
        _compare(before, Manifest.model_validate(client.manifest(job.id)))
    if as_json or no_wait:
        emit(job, print_id, as_json=as_json)


def _submit(client: Client, before: Manifest, options: dict[str, Any]) -> Job:
    gone = [image for image in before.images if not client.has_image(image)]
    if gone:
        names = "".join(f"\n  {image}" for image in gone)
        raise PicturesGone(f"The server no longer has {len(gone)} of the {len(before.images)} pictures:{names}")
    styles = [(style.image, style.weight) for style in before.styles]
    return client.submit(before.content, styles, **before.options, **options)


def _compare(before: Manifest, now: Manifest) -> None:
    if now.result.sha256 == before.result.sha256:
        say(f"The picture is the same, byte for byte: sha256 {now.result.sha256}.")
        return
    say(f"The picture differs: sha256 {before.result.sha256} before, {now.result.sha256} now.")
    for difference in before.differences(now):
        say(f"  {difference}")
