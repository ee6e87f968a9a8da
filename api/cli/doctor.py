"""`atelier doctor`: what is right on this machine, what is not, and the mend."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.text import Text

from api.cli.errors import Failure
from api.cli.options import address, url_option
from shared.settings import Settings

if TYPE_CHECKING:
    from api.local.doctor import Check

_MARKS = {True: ("✓", "green"), False: ("✗", "red"), None: ("-", "yellow")}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@url_option
def doctor(url: str | None, as_json: bool) -> None:
    """Look at what is installed, what fails, and how to mend it."""
    from api.local.doctor import examine  # with it comes SQLAlchemy, which no other command about jobs needs

    settings = Settings.load()
    checks = examine(settings, url or address(settings))
    seen = list(checks) if as_json else _printed(checks)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(check) for check in seen], indent=2))
    failed = [check.name for check in seen if check.ok is False]
    if failed:
        raise Failure(f"{len(failed)} of {len(seen)} checks failed: {', '.join(failed)}.")


def _printed(checks: Iterable[Check]) -> list[Check]:
    """Print each check as soon as it is made, since some take seconds."""
    console, seen = Console(), []
    for check in checks:
        mark, colour = _MARKS[check.ok]
        console.print(Text.assemble((mark, colour), f" {check.name:<10}  ", check.found), soft_wrap=True)
        if not check.ok and check.mend:
            console.print(Text(f"{'':14}{check.mend}", style="dim"), soft_wrap=True)
        seen.append(check)
    return seen
