"""Which server a command talks to, and with which settings.

In this order: `--url` or `ATELIER_URL`, the address that a running `atelier up` wrote to its home folder,
the default address.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from api.client import Client
from shared.settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])

ADDRESS_FILE = "address"


def address(settings: Settings) -> str:
    """Return the address of the stack of these settings: the one it wrote, else the default."""
    try:
        written = (settings.home / ADDRESS_FILE).read_text().strip()
    except OSError:
        written = ""
    return written or f"http://{settings.host}:{settings.port}"


def connect(url: str | None) -> Client:
    """Prepare a client of the server at `url`, or of the one that the settings lead to."""
    return Client(url or address(Settings.load()), os.environ.get("ATELIER_KEY"))


def url_option(command: Command) -> Command:
    """Give a command the option that names its server."""
    return click.option(
        "--url", envvar="ATELIER_URL", metavar="URL", help="The server; by default the one that `atelier up` started."
    )(command)
