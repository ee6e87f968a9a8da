"""Commands about jobs that are there: watch, list, show, cancel, retry, delete. Each is one or two calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from api.cli.display.tables import print_job, print_jobs
from api.cli.errors import Failure
from api.cli.follow import finish, json_option, out_option, preview_option, print_json, say, tell
from api.cli.options import Moment, connect, url_option
from api.client.files import check_picture_path
from api.client.models import ApiProblem
from shared.states import State


@click.command()
@click.argument("job_id", metavar="ID")
@out_option
@preview_option
@json_option
@url_option
def watch(job_id: str, out: Path | None, url: str | None, *, as_json: bool, preview: bool) -> None:
    """Follow a job until it ends, and write its picture if -o is given."""
    if out:
        check_picture_path(out)
    with connect(url) as client:
        job = finish(client, client.job(job_id), out, preview=preview)
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
@click.option("--owner", help="Only jobs of this owner.")
@click.option("--created-after", type=Moment(), help="Only jobs made after that, such as 2030-01-31T12:00.")
@click.option("--created-before", type=Moment(), help="Only jobs made before that.")
@click.option("--code", help="Only jobs that failed by the error of this code.")
@click.option("--batch", help="Only items of this batch.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Most jobs shown.")
@json_option
@url_option
def list_jobs(url: str | None, *, as_json: bool, **filters: Any) -> None:
    """List jobs, newest first."""
    with connect(url) as client:
        jobs = list(client.jobs(**filters))
    if as_json:
        print_json([job.raw() for job in jobs])
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


@click.command()
@click.argument("job_id", metavar="ID")
@out_option
@preview_option
@json_option
@url_option
def retry(job_id: str, out: Path | None, url: str | None, *, as_json: bool, preview: bool) -> None:
    """Ask again for what a job that has ended asked for, as another job.

    Prints the new job's id, or with -o follows it and writes its picture.
    """
    if out:
        check_picture_path(out)
    with connect(url) as client:
        job = client.retry(job_id)
        if out:
            job = finish(client, job, out, preview=preview)
    tell(job, None if out else job.id, as_json=as_json)


@click.command()
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
@json_option
@url_option
def delete(job_ids: tuple[str, ...], url: str | None, *, as_json: bool) -> None:
    """Forget jobs that have ended, and their files."""
    deleted, kept = [], []
    with connect(url) as client:
        for job_id in job_ids:
            try:
                client.delete(job_id)
            except ApiProblem as problem:
                if len(job_ids) == 1 or problem.code not in ("not_found", "illegal_transition"):
                    raise
                kept.append(f"{job_id}: {problem}")
            else:
                deleted.append(job_id)
                say(f"Job {job_id} is deleted.")
    if as_json:
        print_json(deleted)
    if kept:
        raise Failure("Some jobs are as they were.\n" + "\n".join(f"  {reason}" for reason in kept))
