"""Commands about many jobs at once, and about what was done and what failed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import click

from api.cli.display.layout import Column, age, coloured, print_sheet, print_table
from api.cli.follow import json_option, print_json, say
from api.cli.options import Moment, connect, url_option
from api.client.bulk_actions import AuditEntry, FailureGroup, Operation
from shared.states import State

_OPERATIONS: tuple[Column, ...] = (
    ("ID", 36),
    ("ACTION", 6),
    ("STATE", 7),
    ("DONE", 9, "right"),
    ("REFUSED", 7, "right"),
    ("AGE", 6, "right"),
    ("REASON", 0),
)
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
_operation_id = click.argument("operation_id", metavar="ID")
_FILTERS = (
    click.option(
        "--state",
        "states",
        type=click.Choice([state.value for state in State]),
        multiple=True,
        help="Jobs in this state; by default those that the action is for.",
    ),
    click.option("--code", help="Jobs that failed by the error of this code."),
    click.option("--owner", help="Jobs of this owner."),
    click.option("--label", help="Jobs with this label."),
    click.option("--batch", help="Items of this batch."),
    click.option("--created-after", type=Moment(), help="Jobs made after that, such as 2030-01-31T12:00."),
    click.option("--created-before", type=Moment(), help="Jobs made before that."),
)


def _filter_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_FILTERS):
        command = option(command)
    return command


@click.group()
def operations() -> None:
    """Cancel, try again or delete all jobs that a filter finds."""


@operations.command()
@click.argument("action", type=click.Choice(["cancel", "retry", "delete"]))
@_filter_options
@click.option("--reason", help="Why; it is kept in the audit log.")
@click.option("--dry-run", is_flag=True, help="Only count the jobs.")
@json_option
@url_option
def start(action: str, reason: str | None, url: str | None, *, dry_run: bool, as_json: bool, **wanted: Any) -> None:
    """Do ACTION to all jobs of which every option holds, and print the operation's id.

    The server carries it out by itself: `operations show ID` says how far it is.
    """
    if not dry_run and not reason:
        raise click.UsageError("Say why by --reason, or count first by --dry-run.")
    if not any(wanted.values()):
        raise click.UsageError("Say which jobs, such as --state queued or --code out_of_memory.")
    with connect(url) as client:
        found = (
            client.count_jobs(action, **wanted) if dry_run else client.start_operation(action, reason or "", **wanted)
        )
    if as_json:
        print_json(found.raw())
        return
    least = "at least " if found.more else ""
    if isinstance(found, Operation):
        say(f"It is about {least}{found.matched} jobs.")
        click.echo(found.id)
    else:
        click.echo(f"{least}{found.matched}")


@operations.command("list")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Most operations shown.")
@json_option
@url_option
def list_operations(limit: int, url: str | None, *, as_json: bool) -> None:
    """List operations, newest first."""
    with connect(url) as client:
        found = list(client.operations(limit=limit))
    if as_json:
        print_json([each.raw() for each in found])
    else:
        print_table(_OPERATIONS, map(_cells, found), nothing="No operations.")


@operations.command()
@_operation_id
@json_option
@url_option
def show(operation_id: str, url: str | None, *, as_json: bool) -> None:
    """Show how far an operation is."""
    with connect(url) as client:
        _tell(client.operation(operation_id), as_json=as_json)


@operations.command()
@_operation_id
@json_option
@url_option
def stop(operation_id: str, url: str | None, *, as_json: bool) -> None:
    """Have an operation deal with no further job; what it has done stays done."""
    with connect(url) as client:
        _tell(client.stop_operation(operation_id), as_json=as_json)


@click.command()
@click.option("--key-id", help="Only what was done with this key.")
@click.option("--action", help="Only this action, such as job.cancel.")
@click.option("--after", type=Moment(), help="Only what was done from then on.")
@click.option("--before", type=Moment(), help="Only what was done before.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Most entries shown.")
@json_option
@url_option
def audit(url: str | None, *, as_json: bool, after: datetime | None, before: datetime | None, **wanted: Any) -> None:
    """List who did what, newest first."""
    with connect(url) as client:
        found = list(client.audit(after=after, before=before, **wanted))
    if as_json:
        print_json([entry.raw() for entry in found])
    else:
        print_table(_ENTRIES, map(_entry_cells, found), nothing="Nothing was done.")


@click.command()
@json_option
@url_option
def failures(url: str | None, as_json: bool) -> None:
    """Show what failed lately, grouped by error and scale."""
    with connect(url) as client:
        found = client.failures()
    if as_json:
        print_json([group.raw() for group in found])
    else:
        print_table(_FAILURES, map(_failure_cells, found), nothing="No failures.")


def _tell(found: Operation, *, as_json: bool) -> None:
    if as_json:
        print_json(found.raw())
        return
    facts = {
        "operation": found.id,
        "action": found.action,
        "filter": " ".join(f"{name}:{value}" for name, value in found.filter.items()),
        "reason": found.reason,
        "state": coloured(found.state),
        "done": _progress(found),
        "refused": found.refused or None,
        "key": found.key_id,
        "begun": found.created_at,
        "ended": found.ended_at,
    }
    print_sheet((name, value) for name, value in facts.items() if value is not None)


def _progress(found: Operation) -> str:
    return f"{found.done}/{found.matched}{'+' if found.more else ''}"


def _cells(found: Operation) -> tuple[Any, ...]:
    figures = (_progress(found), str(found.refused), age(found.created_at))
    return found.id, found.action, coloured(found.state), *figures, found.reason or ""


def _entry_cells(entry: AuditEntry) -> tuple[str, ...]:
    why = f"  ({entry.reason})" if entry.reason else ""
    who = entry.key_name or entry.key_id or ""
    return entry.at, who, entry.action, str(entry.count), f"{entry.subject or ''}{why}"


def _failure_cells(group: FailureGroup) -> tuple[str, ...]:
    scale = "" if group.scale is None else str(group.scale)
    on = group.worker or "" if group.workers == 1 else str(group.workers or "")
    return group.code, scale, str(group.count), age(group.last_at), on, *group.examples[:1], group.message or ""
