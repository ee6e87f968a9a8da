"""`atelier image`: uploaded pictures, which several jobs may use."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from api.cli.display.layout import print_facts
from api.cli.display.output import emit, print_id, say
from api.cli.options import connect, json_option, url_option
from api.client import Image
from api.client.files import check_path

_image_id = click.argument("image_id", metavar="ID")


@click.group()
def image() -> None:
    """Upload, describe and download pictures."""


@image.command()
@click.argument("files", type=click.Path(exists=True, dir_okay=False, path_type=Path), nargs=-1, required=True)
@json_option
@url_option
def upload(files: tuple[Path, ...], url: str | None, *, as_json: bool) -> None:
    """Upload FILES and print their ids; identical bytes have the same id."""
    with connect(url) as client:
        found = [client.upload(path) for path in files]
    emit(found, _print_ids, as_json=as_json)


@image.command()
@_image_id
@json_option
@url_option
def show(image_id: str, url: str | None, *, as_json: bool) -> None:
    """Describe an uploaded picture."""
    with connect(url) as client:
        emit(client.image(image_id), _print_image, as_json=as_json)


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


def _print_ids(found: Iterable[Image]) -> None:
    for each in found:
        print_id(each)


def _print_image(found: Image) -> None:
    print_facts(
        {
            "image": found.id,
            "size": f"{found.width}×{found.height} px",
            "format": found.format,
            "bytes": found.bytes,
            "uploaded": found.created_at,
        }
    )
