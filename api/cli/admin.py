"""Commands for operators: the workers and the queue, to look at and to steer; figures and the contract."""

from __future__ import annotations

import click

from api.cli.display.tables import print_backlog, print_workers
from api.cli.follow import json_option, print_json
from api.cli.options import connect, url_option
from api.client import Client, DesiredState

#: The instructions for a worker, and the state that each asks for.
_DESIRED: dict[str, DesiredState] = {"drain": "drain", "pause": "pause", "resume": "work"}
#: What may be said to the queue.
_STEERING = {"pause": Client.pause_queue, "resume": Client.resume_queue}


@click.command()
@click.argument("instruction", type=click.Choice(list(_DESIRED)), required=False, metavar="[drain|pause|resume]")
@click.argument("name", required=False, metavar="[NAME]")
@json_option
@url_option
def workers(instruction: str | None, name: str | None, url: str | None, as_json: bool) -> None:
    """List the workers, or instruct the one called NAME.

    pause: it finishes its job and takes no other. drain: it hands its job back at once, with a checkpoint, and
    takes no other. resume: it takes jobs again.
    """
    if instruction and not name:
        raise click.UsageError(f"Say which worker to {instruction}: `atelier workers` lists their names.")
    with connect(url) as client:
        if instruction and name:
            client.set_worker_state(name, _DESIRED[instruction])
        found = client.workers()
    if as_json:
        print_json([worker.raw() for worker in found])
    else:
        print_workers(found)


@click.command()
@click.argument("instruction", type=click.Choice(list(_STEERING)), required=False, metavar="[pause|resume]")
@json_option
@url_option
def queue(instruction: str | None, url: str | None, as_json: bool) -> None:
    """Show what waits and runs, or have jobs handed out no more, or again.

    pause: those that run go on, those that wait stay where they are.
    """
    with connect(url) as client:
        backlog = _STEERING[instruction](client) if instruction else client.queue()
    if as_json:
        print_json(backlog.raw())
    else:
        print_backlog(backlog)


@click.command()
@url_option
def metrics(url: str | None) -> None:
    """Print the server's figures as Prometheus reads them."""
    with connect(url) as client:
        click.echo(client.metrics(), nl=False)


@click.command()
@url_option
def openapi(url: str | None) -> None:
    """Print the contract of the server's whole API, OpenAPI 3.1 in JSON."""
    with connect(url) as client:
        print_json(client.openapi())
