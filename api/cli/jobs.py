"""Commands about existing jobs: watch, list, show, cancel, strength, retry, delete. Each makes one or two calls."""

from pathlib import Path
from typing import Any

import click

from api.cli.display.output import echo, emit, emit_table, print_id, print_json, say
from api.cli.display.tables import JOB_COLUMNS, job_cells, print_job
from api.cli.errors import Failure
from api.cli.follow import check_strength, finish
from api.cli.options import (
    STRENGTH,
    client_option,
    filter_options,
    json_option,
    limit_option,
    out_option,
    preview_option,
    run_options,
    strength_option,
)
from api.client import Client
from api.client.files import check_picture_path
from api.client.models import ApiProblem, Job

_job_id = click.argument("job_id", metavar="ID")


@click.command()
@_job_id
@out_option
@strength_option
@preview_option
@json_option
@client_option
def watch(
    client: Client, job_id: str, out: Path | None, strength: float | None, *, as_json: bool, preview: bool
) -> None:
    """Follow a job until it ends; with -o, write its picture."""
    check_strength(out, strength)
    if out:
        check_picture_path(out)
    job = finish(client, client.job(job_id), out, preview=preview, strength=strength)
    if as_json:
        print_json(job.raw())


@click.command("list")
@filter_options
@limit_option("jobs")
@json_option
@client_option
def list_jobs(client: Client, *, as_json: bool, **filters: Any) -> None:
    """List jobs, newest first."""
    emit_table(client.jobs(**filters), JOB_COLUMNS, job_cells, nothing="No jobs.", as_json=as_json)


@click.command()
@_job_id
@json_option
@client_option
def show(client: Client, job_id: str, *, as_json: bool) -> None:
    """Show everything about a job."""
    emit(client.job(job_id), print_job, as_json=as_json)


@click.command()
@_job_id
@json_option
@client_option
def cancel(client: Client, job_id: str, *, as_json: bool) -> None:
    """Cancel a job: a queued one at once, a running one at its next step."""
    emit(client.cancel(job_id), _print_canceled, as_json=as_json)


def _print_canceled(job: Job) -> None:
    outcome = "is canceled" if job.ended else "stops at its next step and keeps the picture so far"
    echo(f"Job {job.id} {outcome}.")


@click.command()
@_job_id
@click.argument("value", type=STRENGTH, metavar="STRENGTH")
@json_option
@client_option
def strength(client: Client, job_id: str, value: float, *, as_json: bool) -> None:
    """Save how strongly an ended job's painting shows, from 0, the photograph, to 1, as painted.

    Pictures, previews and archives of batches have the saved strength unless another one is asked for.
    """
    emit(client.set_strength(job_id, value), _print_strength, as_json=as_json)


def _print_strength(job: Job) -> None:
    echo(f"Job {job.id} now has strength {(job.result or {}).get('strength'):g}.")


@click.command()
@_job_id
@out_option
@strength_option
@run_options
@preview_option
@json_option
@client_option
def retry(
    client: Client,
    job_id: str,
    out: Path | None,
    strength: float | None,
    *,
    as_json: bool,
    preview: bool,
    **changes: Any,
) -> None:
    """Submit an ended job again, as a new job with the same settings, except for those given here.

    Print the new job's id; with -o, follow it and write its picture instead.
    """
    check_strength(out, strength)
    if out:
        check_picture_path(out)
    job = client.retry(job_id, **{name: value for name, value in changes.items() if value is not None})
    if out:
        job = finish(client, job, out, preview=preview, strength=strength)
    if as_json or not out:
        emit(job, print_id, as_json=as_json)


@click.command()
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
@json_option
@client_option
def delete(client: Client, job_ids: tuple[str, ...], *, as_json: bool) -> None:
    """Delete ended jobs and their files."""
    deleted, kept = [], []
    for job_id in job_ids:
        try:
            client.delete(job_id)
        except ApiProblem as problem:
            if len(job_ids) == 1 or problem.code not in ("not_found", "illegal_transition"):
                raise
            kept.append(f"{job_id}: {problem}")
        else:
            deleted.append(job_id)
            say(f"Deleted job {job_id}.")
    if as_json:
        print_json(deleted)
    if kept:
        raise Failure("Some jobs were not deleted.\n" + "\n".join(f"  {reason}" for reason in kept))
