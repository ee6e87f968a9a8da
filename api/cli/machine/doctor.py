"""`atelier doctor`: what works on this machine, what fails, and how to fix it; `api.local.doctor` makes the checks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.text import Text

from api.cli.display.output import print_json
from api.cli.errors import Failure
from api.cli.options import json_option, local_address, url_option
from shared.settings import Settings
from shared.texts import printable

if TYPE_CHECKING:
    from api.local.doctor import Check

#: By `Check.ok`; None is a hint, with which nothing fails.
_MARKS = {True: ("✓", "green"), False: ("✗", "red"), None: ("-", "yellow")}


@click.command()
@json_option
@url_option
def doctor(url: str | None, *, as_json: bool) -> None:
    """Check what is installed, what fails, and how to fix it."""
    from api.local.doctor import examine  # imports SQLAlchemy, which other commands do without

    settings = Settings.load()
    checks = examine(settings, url or local_address(settings))
    results = list(checks) if as_json else _print_each(checks)
    if as_json:
        print_json([dataclasses.asdict(check) for check in results])
    failed = [check.name for check in results if check.ok is False]
    if failed:
        raise Failure(f"{len(failed)} of {len(results)} checks failed: {', '.join(failed)}.")


def _print_each(checks: Iterable[Check]) -> list[Check]:
    """Print each check as soon as it is made, since some take seconds; return them all."""
    console, results = Console(), []
    for check in checks:
        mark, colour = _MARKS[check.ok]
        console.print(Text.assemble((mark, colour), f" {check.name:<10}  ", printable(check.found)), soft_wrap=True)
        if not check.ok and check.mend:
            console.print(Text(f"{'':14}{printable(check.mend)}", style="dim"), soft_wrap=True)
        results.append(check)
    return results
