"""Which server a command talks to, and with which settings.

In this order: `--url` or `ATELIER_URL`, the address that a running `atelier up` wrote to its home folder,
the default address. The key is `ATELIER_KEY`, or the one that `atelier up` wrote beside its address.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import click

from api.client import Client
from api.local import home
from shared.settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])


def address(settings: Settings) -> str:
    """Return the address of the stack of these settings: the one it wrote, else the default."""
    return home.address(settings.home) or f"http://{settings.host}:{settings.port}"


def connect(url: str | None) -> Client:
    """Prepare a client of the server at `url`, or of the one that the settings lead to."""
    settings = Settings.load()
    own = address(settings)
    found = url or own
    # the key of this machine's stack is for that stack alone
    key = os.environ.get("ATELIER_KEY") or (home.operator_key(settings.home) if found == own else None)
    return Client(found, key, first_retry_for_s=0)  # who typed a wrong address wants to know


def url_option(command: Command) -> Command:
    """Give a command the option that names its server."""
    return click.option(
        "--url", envvar="ATELIER_URL", metavar="URL", help="The server; by default the one that `atelier up` started."
    )(command)


class Moment(click.ParamType[datetime]):
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
