"""`atelier image`: pictures by their ids, to be used in more than one job."""

from __future__ import annotations

from pathlib import Path

import click

from api.cli.display.layout import print_sheet
from api.cli.follow import json_option, print_json, say
from api.cli.options import connect, url_option
from api.client.files import check_path

_image_id = click.argument("image_id", metavar="ID")


@click.group()
def image() -> None:
    """Upload pictures, describe and fetch them."""


@image.command()
@click.argument("files", type=click.Path(exists=True, dir_okay=False, path_type=Path), nargs=-1, required=True)
@json_option
@url_option
def upload(files: tuple[Path, ...], url: str | None, *, as_json: bool) -> None:
    """Upload FILES and print their ids; the same bytes have the same id."""
    with connect(url) as client:
        found = [client.upload(path) for path in files]
    if as_json:
        print_json([each.raw() for each in found])
    else:
        for each in found:
            click.echo(each.id)


@image.command()
@_image_id
@json_option
@url_option
def show(image_id: str, url: str | None, *, as_json: bool) -> None:
    """Describe an uploaded picture."""
    with connect(url) as client:
        found = client.image(image_id)
    if as_json:
        print_json(found.raw())
        return
    facts = {"image": found.id, "size": f"{found.width}×{found.height} px"}
    more = {"format": found.format, "bytes": found.bytes, "uploaded": found.created_at}
    print_sheet([*facts.items(), *((name, value) for name, value in more.items() if value is not None)])


@image.command()
@_image_id
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="FILE", required=True, help="Where to write it.")
@url_option
def fetch(image_id: str, out: Path, url: str | None) -> None:
    """Write a picture to FILE, byte for byte as it was uploaded."""
    check_path(out)
    with connect(url) as client:
        client.download_image(image_id, out)
    say(f"Wrote {out}.")
