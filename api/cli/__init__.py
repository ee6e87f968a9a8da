"""The `atelier` command.

The modules here talk to a server about jobs, batches, pictures and webhooks; `operators` holds the commands that need
an operator's key, `machine` those that start or inspect something on this machine, `folder` and `demo` the two commands
that do a whole task. `errors` turns failures into a sentence and an exit code, `display` draws in the terminal.

A new command is added to `_COMMANDS`. If it talks to a server, `options.client_option` gives it the client. `early`
is imported first, as its name says.
"""

import click

from api.cli import early
from api.cli.batches import batches, matrix
from api.cli.demo.command import demo
from api.cli.errors import ReportingGroup
from api.cli.fetch import events, losses, manifest, preview, result, timelapse
from api.cli.folder.command import batch
from api.cli.images import image
from api.cli.jobs import cancel, delete, list_jobs, retry, show, strength, watch
from api.cli.machine.completion import completion
from api.cli.machine.doctor import doctor
from api.cli.machine.processes import api, db, maintenance, up, worker
from api.cli.machine.weights import weights
from api.cli.operators.bulk_actions import operations
from api.cli.operators.history import audit, failures
from api.cli.operators.keys import keys
from api.cli.operators.server import metrics, openapi
from api.cli.operators.workers import queue, workers
from api.cli.rerun import rerun
from api.cli.submit import submit
from api.cli.webhooks import webhooks

_COMMANDS: tuple[click.Command, ...] = (
    *(up, demo, submit, rerun, watch, list_jobs, show, events, cancel, retry, delete),
    *(result, strength, preview, timelapse, losses, manifest, image, batch, batches, matrix, webhooks),
    *(workers, queue, operations, failures, audit, metrics, openapi, keys),
    *(doctor, weights, completion, api, worker, maintenance, db),
)


@click.group(cls=ReportingGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="atelier")
def main() -> None:
    """Paint photographs in the style of a painting."""


for _command in _COMMANDS:
    main.add_command(_command)
early.is_over()
