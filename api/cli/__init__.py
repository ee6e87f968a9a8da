"""The `atelier` command: one file for each kind of command.

`submit`, `rerun`, `batch`, `batches`, `jobs`, `outputs`, `images`, `webhooks`, `keys`, `operators` and `operations`
talk to a server, `processes` starts one, `checks`, `weights` and `completion` look after this machine. Failures become
a sentence and an exit code in `exits`.
"""

from __future__ import annotations

import click

from api.cli.admin import metrics, openapi, queue, workers
from api.cli.batches import batches, matrix
from api.cli.bulk_actions import audit, failures, operations
from api.cli.completion import completion
from api.cli.doctor import doctor
from api.cli.errors import Guarded
from api.cli.fetch import events, losses, manifest, preview, result, timelapse
from api.cli.folder.command import batch
from api.cli.images import image
from api.cli.jobs import cancel, delete, list_jobs, retry, show, watch
from api.cli.keys import keys
from api.cli.processes import api, db, demo, maintenance, up, worker
from api.cli.rerun import rerun
from api.cli.submit import submit
from api.cli.webhooks import webhooks
from api.cli.weights import weights


@click.group(cls=Guarded, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="atelier")
def main() -> None:
    """Paint photographs in the style of a painting."""


for _command in (
    up,
    demo,
    submit,
    rerun,
    watch,
    list_jobs,
    show,
    events,
    cancel,
    retry,
    delete,
    result,
    preview,
    timelapse,
    losses,
    manifest,
    image,
    batch,
    batches,
    matrix,
    webhooks,
    workers,
    queue,
    operations,
    failures,
    audit,
    metrics,
    openapi,
    keys,
    doctor,
    weights,
    completion,
    api,
    worker,
    maintenance,
    db,
):
    main.add_command(_command)
