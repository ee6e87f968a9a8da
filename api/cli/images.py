"""`atelier image`: uploaded pictures, which several jobs may use."""

from collections.abc import Iterable
from pathlib import Path

import click

from api.cli.display.layout import print_facts
from api.cli.display.output import emit, print_id, say
from api.cli.options import PICTURE, client_option, json_option
from api.client import Client, Image
from api.client.files import check_path

_image_id = click.argument("image_id", metavar="ID")


@click.group()
def image() -> None:
    """Upload, describe and download pictures."""


@image.command()
@click.argument("files", type=PICTURE, nargs=-1, required=True)
@json_option
@client_option
def upload(client: Client, files: tuple[Path, ...], *, as_json: bool) -> None:
    """Upload FILES and print their ids; identical bytes have the same id."""
    found = [client.upload(path) for path in files]
    emit(found, _print_ids, as_json=as_json)


@image.command()
@_image_id
@json_option
@client_option
def show(client: Client, image_id: str, *, as_json: bool) -> None:
    """Describe an uploaded picture."""
    emit(client.image(image_id), _print_image, as_json=as_json)


@image.command()
@_image_id
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="FILE", required=True, help="Where to write it.")
@client_option
def fetch(client: Client, image_id: str, out: Path) -> None:
    """Write a picture to FILE, byte for byte as it was uploaded."""
    check_path(out)
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
