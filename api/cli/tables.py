"""How jobs, workers and the queue look on a terminal: many as a table, one as a sheet of facts."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from api.cli.bar import duration_text, step_text, waiting_text
from api.client_models import Backlog, Estimate, Job, Worker
from shared import clock
from shared.states import State

#: Heading, least width and side of each column before the label, which takes what is left.
_COLUMNS: tuple[tuple[str, int, Literal["left", "right"]], ...] = (
    ("ID", 36, "left"),
    ("STATE", 9, "left"),
    ("STEP", 9, "right"),
    ("AGE", 6, "right"),
)
#: Width of a line that a program reads.
_PIPE_WIDTH = 400

_WORKER_COLUMNS: tuple[tuple[str, int, Literal["left", "right"]], ...] = (
    ("NAME", 4, "left"),
    ("STATE", 7, "left"),
    ("JOB", 36, "left"),
    ("WEIGHTS", 8, "left"),
    ("SEEN", 6, "right"),
)

_COLOURS = {
    "queued": "yellow",
    "running": "cyan",
    "succeeded": "green",
    "failed": "red",
    "canceled": "magenta",
    "expired": "magenta",
    "working": "cyan",
    "idle": "green",
    "paused": "yellow",
    "drained": "yellow",
    "gone": "red",
}


def print_jobs(jobs: Iterable[Job]) -> None:
    """Print a table, one line a job; ids are never cut, since the next command needs them."""
    table = _table(_COLUMNS)
    table.add_column("LABEL", no_wrap=True, overflow="ellipsis")
    for job in jobs:
        table.add_row(*_cells(job))
    if table.row_count:
        _console().print(table)
    else:
        Console(stderr=True).print("No jobs.")


def print_workers(workers: Iterable[Worker]) -> None:
    """Print a table, one line a worker; a name is never cut, since an instruction needs it."""
    table = _table(_WORKER_COLUMNS)
    for worker in workers:
        seen = f"{_age(worker.seen_at)} ago" if worker.seen_at else ""
        weights = _weights(worker.weights)
        table.add_row(Text(worker.name), _worker_state(worker), Text(worker.job_id or ""), Text(weights), Text(seen))
    if table.row_count:
        _console().print(table)
    else:
        Console(stderr=True).print("No workers.")


def _worker_state(worker: Worker) -> Text:
    """Write its state, and the wish that it has yet to meet."""
    text = Text(worker.state, style=_COLOURS.get(worker.state, ""))
    if worker.state == "working" and worker.wish in ("pause", "drain"):
        text.append(f", to {worker.wish}")
    return text


def print_backlog(backlog: Backlog) -> None:
    """Print the figures of the queue."""
    facts: dict[str, Any] = {
        "queued": backlog.queued if backlog.sent is None else f"{backlog.queued}, {backlog.sent} of them sent",
        "running": backlog.running,
        "workers": backlog.workers,
        "oldest": None if backlog.oldest_waiting_s is None else f"waits for {duration_text(backlog.oldest_waiting_s)}",
        "paused": backlog.paused_at and f"since {backlog.paused_at}",
        "held": backlog.held_for and f"until this is mended: {backlog.held_for}",
    }
    _print_sheet((name, value) for name, value in facts.items() if value is not None)


def print_estimate(estimate: Estimate | None) -> None:
    """Print what a run is predicted to take."""
    if estimate is None:
        _print_sheet([("estimate", "none: no worker has yet said what its device can do")])
        return
    sizes = ", ".join(f"{size.width}×{size.height}" for size in estimate.scales)
    facts = {
        "time": f"about {duration_text(estimate.seconds)}",
        "memory": f"{estimate.peak_bytes / 1e9:.1f} GB at most",
        "scales": sizes and f"{sizes} px",
        "tiles": estimate.tile_size and f"{estimate.tile_size} px",
    }
    _print_sheet((name, value) for name, value in facts.items() if value)


def _table(columns: Iterable[tuple[str, int, Literal["left", "right"]]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading, least, side in columns:
        table.add_column(heading, no_wrap=True, min_width=least, justify=side)
    return table


def _cells(job: Job) -> list[Text]:
    step = job.progress
    return [
        Text(job.id),
        _state(job),
        Text(f"{step.step}/{step.total}" if step else ""),
        Text(_age(job.created_at)),
        Text(job.label or ""),
    ]


def _console() -> Console:
    """Open stdout; where it is no terminal, lines are never cut to a terminal's width."""
    console = Console()
    return console if console.is_terminal else Console(width=_PIPE_WIDTH)


def print_job(job: Job) -> None:
    """Print everything worth knowing about one job."""
    _print_sheet(_facts(job))


def _print_sheet(facts: Iterable[tuple[str, Any]]) -> None:
    sheet = Table(box=None, show_header=False, pad_edge=False)
    sheet.add_column(style="dim", no_wrap=True)
    sheet.add_column(overflow="fold")
    for name, value in facts:
        sheet.add_row(name, value if isinstance(value, Text) else Text(str(value)))
    _console().print(sheet)


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
        "queue": job.queue and waiting_text(job),
        "retry at": job.state == State.QUEUED and job.retry_at,
        "start by": job.start_by,
        "label": job.label,
        "preset": job.preset,
        "weights": _weights(job.weights),
        "worker": job.worker,
        "created": job.created_at,
        "started": job.started_at,
        "ended": job.ended_at,
        "kept until": job.expires_at,
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
    """Write how long ago that was, in its largest unit."""
    if not created_at:
        return ""
    seconds = max(0.0, (clock.now() - datetime.fromisoformat(created_at)).total_seconds())
    for unit_s, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit_s:
            return f"{seconds // unit_s:.0f} {unit}"
    return f"{seconds:.0f} s"
