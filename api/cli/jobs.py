"""Commands about jobs that are there: watch, list, show, cancel. Each is one or two calls of the client."""

from __future__ import annotations

import json
from pathlib import Path

import click

from api.cli.connection import connect, url_option
from api.cli.following import finish, json_option, out_option, tell
from api.cli.tables import print_job, print_jobs
from api.outputs import check_writable
from shared.states import State


@click.command()
@click.argument("job_id", metavar="ID")
@out_option
@json_option
@url_option
def watch(job_id: str, out: Path | None, url: str | None, as_json: bool) -> None:
    """Follow a job until it ends, and write its picture if -o is given."""
    if out:
        check_writable(out)
    with connect(url) as client:
        job = finish(client, client.job(job_id), out)
    tell(job, None, as_json=as_json)


@click.command("list")
@click.option(
    "--state",
    "states",
    type=click.Choice([state.value for state in State]),
    multiple=True,
    help="Only jobs in this state.",
)
@click.option("--label", help="Only jobs with this label.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Most jobs shown.")
@json_option
@url_option
def list_jobs(states: tuple[str, ...], label: str | None, limit: int, url: str | None, as_json: bool) -> None:
    """List jobs, newest first."""
    with connect(url) as client:
        jobs = list(client.jobs(states=states, label=label, limit=limit))
    if as_json:
        click.echo(json.dumps([job.raw() for job in jobs], indent=2))
    else:
        print_jobs(jobs)


@click.command()
@click.argument("job_id", metavar="ID")
@json_option
@url_option
def show(job_id: str, url: str | None, as_json: bool) -> None:
    """Show everything about a job."""
    with connect(url) as client:
        job = client.job(job_id)
    if as_json:
        tell(job, None, as_json=True)
    else:
        print_job(job)


@click.command()
@click.argument("job_id", metavar="ID")
@json_option
@url_option
def cancel(job_id: str, url: str | None, as_json: bool) -> None:
    """Cancel a job: a queued one at once, a running one at its next step."""
    with connect(url) as client:
        job = client.cancel(job_id)
    said = "is canceled" if job.ended else "ends at its next step and keeps the picture so far"
    tell(job, f"Job {job.id} {said}.", as_json=as_json)
