"""`atelier rerun`: paint a picture again from its manifest, and say whether the same bytes came out."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import click

from api.cli.errors import PicturesGone
from api.cli.follow import check_waiting, finish, json_option, no_wait_option, out_option, say, tell
from api.cli.options import connect, url_option
from api.client import Client
from api.client.files import check_picture_path
from api.client.manifest import Manifest
from api.client.models import ApiProblem, Job


@click.command()
@click.argument("manifest", type=click.File("rb"))
@out_option
@no_wait_option
@json_option
@url_option
def rerun(manifest: BinaryIO, out: Path | None, url: str | None, *, no_wait: bool, as_json: bool) -> None:
    """Paint again what MANIFEST tells of, and compare.

    MANIFEST is the JSON of a job's manifest, or - to read it from stdin. The pictures must still be on the server.
    """
    check_waiting(out, no_wait=no_wait)
    before = Manifest.read(manifest.read())
    if out:
        check_picture_path(out)
    with connect(url) as client:
        job = _submitted(client, before)
        if not no_wait:
            job = finish(client, job, out)
            _compare(before, Manifest.model_validate(client.manifest(job.id)))
    tell(job, job.id if no_wait else None, as_json=as_json)


def _submitted(client: Client, before: Manifest) -> Job:
    gone = [image for image in before.images if not _is_there(client, image)]
    if gone:
        names = "".join(f"\n  {image}" for image in gone)
        raise PicturesGone(f"The server no longer has {len(gone)} of the {len(before.images)} pictures:{names}")
    return client.submit(before.content, [(style.image, style.weight) for style in before.styles], **before.options)


def _is_there(client: Client, image_id: str) -> bool:
    try:
        client.image(image_id)
    except ApiProblem as problem:
        if problem.code != "not_found":
            raise
        return False
    return True


def _compare(before: Manifest, now: Manifest) -> None:
    if now.result.sha256 == before.result.sha256:
        say(f"The picture is the same, byte for byte: sha256 {now.result.sha256}.")
        return
    say(f"The picture is another: sha256 {before.result.sha256} before, {now.result.sha256} now.")
    for difference in before.differences(now):
        say(f"  {difference}")
