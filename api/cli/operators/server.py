"""`atelier metrics` and `atelier openapi`: what the server reports about itself."""

import click

from api.cli.display.output import echo_lines, print_json
from api.cli.options import client_option
from api.client import Client


@click.command()
@client_option
def metrics(client: Client) -> None:
    """Print the server's metrics in the Prometheus text format."""
    echo_lines(client.metrics())


@click.command()
@client_option
def openapi(client: Client) -> None:
    """Print the OpenAPI 3.1 description of the server's API, as JSON."""
    print_json(client.openapi())
