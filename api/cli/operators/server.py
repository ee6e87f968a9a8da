"""`atelier metrics` and `atelier openapi`: what the server reports about itself."""

from __future__ import annotations

import click

from api.cli.display.output import print_json
from api.cli.options import connect, url_option


@click.command()
@url_option
def metrics(url: str | None) -> None:
    """Print the server's metrics in the Prometheus text format."""
    with connect(url) as client:
        click.echo(client.metrics(), nl=False)


@click.command()
@url_option
def openapi(url: str | None) -> None:
    """Print the OpenAPI 3.1 description of the server's API, as JSON."""
    with connect(url) as client:
        print_json(client.openapi())
