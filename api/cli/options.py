"""Options that several commands share, above all the server that a command talks to.

Every command declares its own options first, then of these, in this order, those it has: `--limit`, those of a run,
`--preview`, `--no-wait`, `--dry-run`, `--json`, the painting parameters, `--url`.

The server is, in this order: `--url` or `ATELIER_URL`, the address that a running `atelier up` wrote to its home
folder, the default address. The key is `ATELIER_KEY`, or the one that `atelier up` wrote beside its address.
"""

import functools
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from api.cli.ranges import FloatRange, IntRange
from api.client import Client, ClientError
from api.local import home
from shared.addresses import authority
from shared.errors import AtelierError
from shared.painting.cli_options import PictureFile
from shared.settings import Settings
from shared.states import State

Command = TypeVar("Command", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
out_option = click.option(
    "-o", "--out", type=click.Path(path_type=Path), metavar="FILE", help="Where to write the picture."
)


class _Strength(FloatRange):
    """From 0 to 1. Every comparison with NaN is false, so `FloatRange` alone would take it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = float(super().convert(value, param, ctx))
        return found if found >= 0 else self.fail(f"{value} is not in the range 0 to 1.", param, ctx)


#: The type of an option or argument that says how strongly a painting shows.
STRENGTH = _Strength(0, 1)
strength_option = click.option(
    "--strength",
    type=STRENGTH,
    metavar="0..1",
    help="How strongly the painting shows: from 0, the photograph, to 1, as painted [as saved].",
)
preview_option = click.option("--preview", is_flag=True, help="Show the picture as it forms, if the terminal can.")
no_wait_option = click.option("--no-wait", is_flag=True, help="Print the id and return at once.")
url_option = click.option(
    "--url", envvar="ATELIER_URL", metavar="URL", help="The server; by default the one that `atelier up` started."
)
#: The type of an argument or option that names an existing picture.
PICTURE = PictureFile()


time_limit_option = click.option(
    "--time-limit",
    "time_limit_s",
    type=FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Longest running time; the picture painted by then is kept.",
)


def limit_option(what: str) -> Callable[[Command], Command]:
    """Give a command the option that bounds its listing."""
    return click.option(
        "--limit", type=IntRange(min=1), default=20, show_default=True, help=f"Maximum number of {what}."
    )


def connect(url: str | None) -> Client:
    """Prepare a client of the server at `url`, or of the default one."""
    settings = Settings.load()
    local = local_address(settings)
    found = url or local
    # the key of this machine's stack is sent to that stack alone
    key = os.environ.get("ATELIER_KEY") or (home.operator_key(settings.home) if found == local else None)
    return Client(found, key, first_retry_for_s=0)  # a mistyped address is reported at once


def client_option(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the option `--url`, and as its argument `client` a client of that server."""

    @url_option
    @functools.wraps(command)
    def with_client(*, url: str | None, **given: Any) -> None:
        try:
            client = connect(url)
        except (ClientError, AtelierError) as error:
            command(client=_NoClient(error), **given)
        else:
            with client:
                command(client=client, **given)

    return with_client


class _NoClient:
    """Stands in for a client whose address, key or settings are invalid.

    Its first use raises that error, so that a command first reports the mistakes in its own options, with exit code 2.
    """

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> NoReturn:
        raise self._error


def local_address(settings: Settings) -> str:
    """Return the address of this machine's stack: the one it wrote, else the default."""
    return home.address(settings.home) or f"http://{authority(settings.host, settings.port)}"


class Time(click.ParamType[datetime]):
    """A time; one without a UTC offset is in this machine's time zone."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read ISO 8601."""
        if isinstance(value, datetime):
            return value
        try:
            return datetime.fromisoformat(value).astimezone()
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is not a time such as 2030-01-31T12:00 or 2030-01-31T12:00:00Z.", param, ctx)


_RUN = (
    click.option("--priority", type=int, help="Of one owner's jobs, higher runs first [0]."),
    click.option("--start-by", type=Time(), help="When the job expires unless it has started, e.g. 2030-01-31T12:00."),
    time_limit_option,
    click.option("--webhook", metavar="URL", help="The URL to call when the job ends; see `atelier webhooks`."),
    click.option(
        "--retention",
        "retention_s",
        type=FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        help="How long to keep the files after the job ends.",
    ),
)


def run_options(command: Command) -> Command:
    """Give a command the options that say when a job runs, for how long and what is kept of it."""
    for option in reversed(_RUN):
        command = option(command)
    return command


_FILTERS = (
    click.option(
        "--state",
        "states",
        type=click.Choice([state.value for state in State]),
        multiple=True,
        help="Only jobs in this state; repeatable.",
    ),
    click.option("--code", help="Only jobs that failed with this error code."),
    click.option("--owner", help="Only jobs of this owner."),
    click.option("--label", help="Only jobs with this label."),
    click.option("--batch", help="Only items of this batch."),
    click.option("--created-after", type=Time(), help="Only jobs created after this time, e.g. 2030-01-31T12:00."),
    click.option("--created-before", type=Time(), help="Only jobs created before this time."),
)


def filter_options(command: Command) -> Command:
    """Give a command the options that select jobs."""
    for option in reversed(_FILTERS):
        command = option(command)
    return command
