"""How jobs look on a terminal: many as a table, one as a sheet of facts."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from api.cli.bar import duration_text, step_text
from api.client_models import Job
from shared import clock

_COLOURS = {
    "queued": "yellow",
    "running": "cyan",
    "succeeded": "green",
    "failed": "red",
    "canceled": "magenta",
    "expired": "magenta",
}


def print_jobs(jobs: Iterable[Job]) -> None:
    """Print a table, one line a job; ids are never cut, since the next command needs them."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("ID", "STATE", "PROGRESS", "LOSS", "SIZE", "PRESET", "AGE", "LABEL"):
        right = heading in ("PROGRESS", "LOSS", "SIZE", "AGE")
        table.add_column(
            heading,
            no_wrap=True,
            overflow="ellipsis",
            min_width=36 if heading == "ID" else None,
            justify="right" if right else "left",
        )
    for job in jobs:
        table.add_row(*_cells(job))
    if table.row_count:
        Console().print(table)
    else:
        Console(stderr=True).print("No jobs.")


def _cells(job: Job) -> list[Text | str]:
    step = job.progress
    loss = step.losses.get("total") if step else None
    return [
        job.id,
        _state(job),
        f"{step.step}/{step.total}" if step else "",
        "" if loss is None else f"{loss:.4g}",
        str(job.params.get("size", "")),
        job.preset or "",
        _age(job.created_at),
        Text(job.label or ""),  # a label may look like markup
    ]


def print_job(job: Job) -> None:
    """Print everything worth knowing about one job."""
    sheet = Table(box=None, show_header=False, pad_edge=False)
    sheet.add_column(style="dim", no_wrap=True)
    sheet.add_column(overflow="fold")
    for name, value in _facts(job):
        sheet.add_row(name, value if isinstance(value, Text) else Text(str(value)))
    Console().print(sheet)


def _facts(job: Job) -> Iterable[tuple[str, Any]]:
    yield "job", job.id
    yield "state", _state(job)
    if job.error:
        yield "error", f"{job.error.message} ({job.error.code})"
    if job.progress:
        yield "progress", step_text(job.progress.raw())
    if job.result:
        partial = ", partial" if job.result.get("partial") else ""
        yield "result", f"{job.result.get('width')}×{job.result.get('height')} px{partial}"
    optional = {
        "queue": job.queue and f"number {job.queue.position}",
        "label": job.label,
        "preset": job.preset,
        "weights": _weights(job.weights),
        "worker": job.worker,
        "created": job.created_at,
        "started": job.started_at,
        "ended": job.ended_at,
    }
    yield from ((name, value) for name, value in optional.items() if value)
    yield from job.params.items()


def _state(job: Job) -> Text:
    return Text(str(job.state), style=_COLOURS.get(job.state, ""))


def _weights(weights: Any) -> str:
    if isinstance(weights, dict):
        return f"{weights.get('name', '')} {str(weights.get('sha256', ''))[:12]}".strip()
    return str(weights or "")


def _age(created_at: str | None) -> str:
    if not created_at:
        return ""
    return duration_text((clock.now() - datetime.fromisoformat(created_at)).total_seconds())
