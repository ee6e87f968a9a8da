"""`atelier operations`: bulk actions, which the API calls operations: one action on all jobs that match a filter."""

from typing import Any

import click

from api.cli.display.layout import Column, age, coloured, print_facts
from api.cli.display.output import echo, emit, emit_table, say
from api.cli.options import client_option, filter_options, json_option, limit_option, time_limit_option
from api.client import Client, Matched, Operation

_COLUMNS: tuple[Column, ...] = (
    ("ID", 36),
    ("ACTION", 6),
    ("STATE", 7),
    ("DONE", 9, "right"),
    ("REFUSED", 7, "right"),
    ("AGE", 6, "right"),
    ("REASON", 0),
)
_operation_id = click.argument("operation_id", metavar="ID")


@click.group()
def operations() -> None:
    """Cancel, retry or delete all jobs that match a filter."""


@operations.command()
@click.argument("action", type=click.Choice(["cancel", "retry", "delete"]))
@filter_options
@time_limit_option
@click.option("--reason", help="Why; kept in the audit log. Required without --dry-run.")
@click.option("--dry-run", is_flag=True, help="Only count the jobs.")
@json_option
@client_option
def start(
    client: Client,
    action: str,
    reason: str | None,
    time_limit_s: float | None,
    *,
    dry_run: bool,
    as_json: bool,
    **filters: Any,
) -> None:
    """Apply ACTION to all jobs that match every option, and print the operation's id.

    Without --state, these are jobs in any state that ACTION is for. The server works through them in the background;
    `atelier operations show ID` shows the progress. Retried jobs keep their limits, except for one that --time-limit
    gives.
    """
    if time_limit_s is not None and action != "retry":
        raise click.UsageError("--time-limit is only for retry.")
    if not dry_run and not reason:
        raise click.UsageError("Give a reason with --reason, or count the jobs first with --dry-run.")
    if not any(filters.values()):
        raise click.UsageError("Say which jobs, such as --state queued or --code out_of_memory.")
    if dry_run:
        emit(client.count_jobs(action, **filters), _print_count, as_json=as_json)
    else:
        emit(
            client.start_operation(action, reason or "", time_limit_s=time_limit_s, **filters),
            _print_started,
            as_json=as_json,
        )


@operations.command("list")
@limit_option("operations")
@json_option
@client_option
def list_operations(client: Client, limit: int, *, as_json: bool) -> None:
    """List operations, newest first."""
    emit_table(client.operations(limit=limit), _COLUMNS, _cells, nothing="No operations.", as_json=as_json)


@operations.command()
@_operation_id
@json_option
@client_option
def show(client: Client, operation_id: str, *, as_json: bool) -> None:
    """Show an operation's progress."""
    emit(client.operation(operation_id), _print_operation, as_json=as_json)


@operations.command()
@_operation_id
@json_option
@client_option
def stop(client: Client, operation_id: str, *, as_json: bool) -> None:
    """Stop an operation; jobs it has already processed stay as they are."""
    emit(client.stop_operation(operation_id), _print_operation, as_json=as_json)


def _print_count(found: Matched) -> None:
    # the server stops counting at a limit
    echo(f"{'at least ' if found.more else ''}{found.matched}")


def _print_started(found: Operation) -> None:
    matched = f"{'At least ' if found.more else ''}{found.matched}"
    say(f"{matched} job matches." if found.matched == 1 else f"{matched} jobs match.")
    echo(found.id)


def _print_operation(found: Operation) -> None:
    print_facts(
        {
            "operation": found.id,
            "action": found.action,
            "filter": " ".join(f"{name}:{value}" for name, value in found.filter.items()),
            "reason": found.reason,
            "time limit": found.time_limit_s and f"{found.time_limit_s:g} s",
            "state": coloured(found.state),
            "done": _progress(found),
            "refused": found.refused or None,
            "key": found.key_id,
            "started": found.created_at,
            "ended": found.ended_at,
        }
    )


def _progress(found: Operation) -> str:
    return f"{found.done}/{found.matched}{'+' if found.more else ''}"


def _cells(found: Operation) -> tuple[Any, ...]:
    figures = (_progress(found), str(found.refused), age(found.created_at))
    return found.id, found.action, coloured(found.state), *figures, found.reason or ""
