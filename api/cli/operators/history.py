"""`atelier audit` and `atelier failures`: who did what, and what failed."""

from datetime import datetime
from typing import Any

import click

from api.cli.display.layout import Column, age
from api.cli.display.output import emit_table
from api.cli.options import Time, client_option, json_option, limit_option
from api.client import AuditEntry, Client, FailureGroup

_ENTRIES: tuple[Column, ...] = (("AT", 24), ("KEY", 8), ("ACTION", 12), ("COUNT", 5, "right"), ("SUBJECT", 0))
_FAILURES: tuple[Column, ...] = (
    ("CODE", 8),
    ("SCALE", 5, "right"),
    ("COUNT", 5, "right"),
    ("LAST", 6, "right"),
    ("WORKERS", 7, "right"),
    ("EXAMPLE", 36),
    ("MESSAGE", 0),
)


@click.command()
@click.option("--key-id", help="Only actions taken with this key.")
@click.option("--action", help="Only this action, such as job.cancel.")
@click.option("--after", type=Time(), help="Only actions since this time.")
@click.option("--before", type=Time(), help="Only actions before this time.")
@limit_option("entries")
@json_option
@client_option
def audit(client: Client, *, after: datetime | None, before: datetime | None, as_json: bool, **wanted: Any) -> None:
    """List who did what, newest first."""
    found = client.audit(after=after, before=before, **wanted)
    emit_table(found, _ENTRIES, _entry_cells, nothing="No entries.", as_json=as_json)


@click.command()
@json_option
@client_option
def failures(client: Client, *, as_json: bool) -> None:
    """Show recent failures, grouped by error and scale."""
    emit_table(client.failures(), _FAILURES, _failure_cells, nothing="No failures.", as_json=as_json)


def _entry_cells(entry: AuditEntry) -> tuple[str, ...]:
    reason = f"  ({entry.reason})" if entry.reason else ""
    who = entry.key_name or entry.key_id or ""
    return entry.at, who, entry.action, str(entry.count), f"{entry.subject or ''}{reason}"


def _failure_cells(group: FailureGroup) -> tuple[str, ...]:
    scale = "" if group.scale is None else str(group.scale)
    workers = group.worker or "" if group.workers == 1 else str(group.workers or "")
    return group.code, scale, str(group.count), age(group.last_at), workers, *group.examples[:1], group.message or ""
