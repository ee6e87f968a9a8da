"""`atelier workers` and `atelier queue`: show and control what paints."""

import click

from api.cli.display.output import emit, emit_table
from api.cli.display.tables import WORKER_COLUMNS, print_backlog, worker_cells
from api.cli.options import client_option, json_option
from api.client import Client, DesiredState

#: The instructions for a worker, and the state that each asks for.
_DESIRED: dict[str, DesiredState] = {"drain": "drain", "pause": "pause", "resume": "work"}
_QUEUE_CALLS = {"pause": Client.pause_queue, "resume": Client.resume_queue}


@click.command()
@click.argument("instruction", type=click.Choice(list(_DESIRED)), required=False, metavar="[drain|pause|resume]")
@click.argument("name", required=False, metavar="[NAME]")
@json_option
@client_option
def workers(client: Client, instruction: str | None, name: str | None, *, as_json: bool) -> None:
    """List the workers, or instruct the worker NAME.

    pause: finish the current job and take no more. drain: hand the current job back at once, with a checkpoint, and
    take no more. resume: take jobs again.
    """
    if instruction and not name:
        raise click.UsageError(f"Say which worker to {instruction}: `atelier workers` lists their names.")
    if instruction and name:
        client.set_worker_state(name, _DESIRED[instruction])
    emit_table(client.workers(), WORKER_COLUMNS, worker_cells, nothing="No workers.", as_json=as_json)


@click.command()
@click.argument("instruction", type=click.Choice(list(_QUEUE_CALLS)), required=False, metavar="[pause|resume]")
@json_option
@client_option
def queue(client: Client, instruction: str | None, *, as_json: bool) -> None:
    """Show how many jobs wait and run, or pause or resume the queue.

    While it is paused, running jobs continue and waiting jobs keep their places.
    """
    backlog = _QUEUE_CALLS[instruction](client) if instruction else client.queue()
    emit(backlog, print_backlog, as_json=as_json)
