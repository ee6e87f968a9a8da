"""Commands about jobs: submit, watch, list, show, cancel. Each is one or two calls of the client."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from api.cli.bar import JobBar
from api.cli.connection import connect, url_option
from api.cli.exits import Interrupted, ensure_succeeded
from api.cli.tables import print_job, print_jobs
from api.client import Client
from api.client_models import Job
from api.outputs import check_writable
from shared.options import chosen_params, params_options
from shared.params import DEFAULT_PRESET, PRESETS, WEIGHTS_NAMES
from shared.states import State

_PICTURE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
_OUTPUT = click.Path(path_type=Path)


class _Moment(click.ParamType[datetime]):
    """A moment; one without a zone is in this machine's."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read ISO 8601."""
        if isinstance(value, datetime):
            return value
        try:
            return datetime.fromisoformat(value).astimezone()
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is not a time such as 2030-01-31T12:00 or 2030-01-31T12:00:00Z.", param, ctx)


_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
_out_option = click.option("-o", "--out", type=_OUTPUT, metavar="FILE", help="Where to write the picture.")


@click.command()
@click.argument("content", type=_PICTURE)
@click.argument("styles", type=_PICTURE, nargs=-1, required=True, metavar="STYLE...")
@_out_option
@click.option("--preset", type=click.Choice(list(PRESETS)), help=f"A named set of parameters [{DEFAULT_PRESET}].")
@click.option("--weights", type=click.Choice(WEIGHTS_NAMES), help="Fail rather than paint with other VGG19 weights.")
@click.option("--label", help="A name of yours, to find the job again.")
@click.option("--priority", type=int, help="Higher goes first.")
@click.option("--start-by", type=_Moment(), help="When a job that has not begun expires, such as 2030-01-31T12:00.")
@click.option(
    "--time-limit",
    "time_limit_s",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Longest time it may run; what was painted by then is kept.",
)
@click.option("--no-wait", is_flag=True, help="Print the job's id and return at once.")
@_json_option
@params_options
@url_option
def submit(
    content: Path,
    styles: tuple[Path, ...],
    out: Path | None,
    url: str | None,
    no_wait: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Paint the photograph CONTENT in the style of the painting STYLE.

    Several styles are blended in equal parts.
    """
    if no_wait and out:
        raise click.UsageError("--no-wait leaves before there is a picture to write: drop it or -o.")
    if not no_wait and not out:
        raise click.UsageError("Say where to write the picture with -o FILE, or --no-wait.")
    if out:
        check_writable(out)
    wishes = {name: options[name] for name in ("preset", "weights", "label", "priority", "start_by", "time_limit_s")}
    with connect(url) as client:
        job = client.submit(content, list(styles), params=chosen_params(options), **wishes)
        if out:
            job = _finish(client, job, out)
    _tell(job, job.id if no_wait else None, as_json=as_json)


@click.command()
@click.argument("job_id", metavar="ID")
@_out_option
@_json_option
@url_option
def watch(job_id: str, out: Path | None, url: str | None, as_json: bool) -> None:
    """Follow a job until it ends, and write its picture if -o is given."""
    if out:
        check_writable(out)
    with connect(url) as client:
        job = _finish(client, client.job(job_id), out)
    _tell(job, None, as_json=as_json)


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
@_json_option
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
@_json_option
@url_option
def show(job_id: str, url: str | None, as_json: bool) -> None:
    """Show everything about a job."""
    with connect(url) as client:
        job = client.job(job_id)
    if as_json:
        _tell(job, None, as_json=True)
    else:
        print_job(job)


@click.command()
@click.argument("job_id", metavar="ID")
@_json_option
@url_option
def cancel(job_id: str, url: str | None, as_json: bool) -> None:
    """Cancel a job: a queued one at once, a running one at its next step."""
    with connect(url) as client:
        job = client.cancel(job_id)
    said = "is canceled" if job.ended else "ends at its next step and keeps the picture so far"
    _tell(job, f"Job {job.id} {said}.", as_json=as_json)


def follow(client: Client, job: Job, way_back: str) -> Job:
    """Show a job's bar until it ends; on Ctrl-C leave it running and say the `way_back`."""
    try:
        with JobBar(job) as bar:
            return client.wait(job.id, bar.show)
    except KeyboardInterrupt:
        raise Interrupted(f"The job goes on without you. Come back with `{way_back}`.") from None


def _finish(client: Client, job: Job, out: Path | None) -> Job:
    """See a job to its end, write its picture, or the part of it that was painted, and judge it."""
    way_back = f"atelier watch {job.id}" + (f" -o {out}" if out else "")
    ended = job if job.ended else follow(client, job, way_back)
    if out and ended.result:
        client.download(ended.id, out)
        Console(stderr=True).print(f"Wrote {out}.", highlight=False, markup=False, soft_wrap=True)
    ensure_succeeded(ended)
    return ended


def _tell(job: Job, sentence: str | None, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(job.raw(), indent=2))
    elif sentence:
        click.echo(sentence)
