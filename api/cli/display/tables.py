"""How jobs, workers and the queue look on a terminal: many as a table, one as a sheet of facts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.text import Text

from api.cli.display.job_bar import duration_text, step_text, waiting_text
from api.cli.display.layout import Column, age, coloured, print_sheet, print_table
from api.client.models import Backlog, Estimate, Eta, Job, Worker
from shared.states import State

#: Ids are never cut, since the next command needs them.
_JOBS: tuple[Column, ...] = (("ID", 36), ("STATE", 9), ("STEP", 9, "right"), ("AGE", 6, "right"), ("LABEL", 0))
_WORKERS: tuple[Column, ...] = (("NAME", 4), ("STATE", 7), ("JOB", 36), ("WEIGHTS", 8), ("SEEN", 6, "right"))


def print_jobs(jobs: Iterable[Job]) -> None:
    """Print a table, one line a job."""
    print_table(_JOBS, map(_cells, jobs), nothing="No jobs.")


def print_workers(workers: Iterable[Worker]) -> None:
    """Print a table, one line a worker."""
    rows = (
        (
            worker.name,
            _worker_state(worker),
            worker.job_id or "",
            _weights(worker.weights),
            f"{age(worker.seen_at)} ago" if worker.seen_at else "",
        )
        for worker in workers
    )
    print_table(_WORKERS, rows, nothing="No workers.")


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
    print_sheet((name, value) for name, value in facts.items() if value is not None)


def print_estimate(estimate: Estimate | None) -> None:
    """Print what a run is predicted to take."""
    if estimate is None:
        print_sheet([("estimate", "none: no worker has yet said what its device can do")])
        return
    sizes = ", ".join(f"{size.width}×{size.height}" for size in estimate.scales)
    facts = {
        "time": f"about {duration_text(estimate.seconds)}",
        "memory": f"{estimate.peak_bytes / 1e9:.1f} GB at most",
        "scales": sizes and f"{sizes} px",
        "tiles": estimate.tile_size and f"{estimate.tile_size} px",
    }
    print_sheet((name, value) for name, value in facts.items() if value)


def print_job(job: Job) -> None:
    """Print everything worth knowing about one job."""
    print_sheet(_facts(job))


def _cells(job: Job) -> tuple[str | Text, ...]:
    step = job.progress
    steps = f"{step.step}/{step.total}" if step else ""
    return job.id, coloured(job.state), steps, age(job.created_at), job.label or ""


def _worker_state(worker: Worker) -> Text:
    """Write its state, and the wish that it has yet to meet."""
    text = coloured(worker.state)
    if worker.state == "working" and worker.wish in ("pause", "drain"):
        text.append(f", to {worker.wish}")
    return text


def _facts(job: Job) -> Iterable[tuple[str, Any]]:
    yield "job", job.id
    yield "state", coloured(job.state)
    if job.error:
        yield "error", f"{job.error.message} ({job.error.code})"
    if job.progress:
        yield "progress", step_text(job.progress.raw())
    if job.result:
        partial = ", partial" if job.result.get("partial") else ""
        yield "result", f"{job.result.get('width')}×{job.result.get('height')} px{partial}"
    optional = {
        "queue": job.queue and waiting_text(job),
        "ends": job.eta and not job.ended and _eta_text(job.eta),
        "retry at": job.state == State.QUEUED and job.retry_at,
        "start by": job.start_by,
        "label": job.label,
        "owner": job.owner,
        "retry of": job.retry_of,
        "webhook": job.webhook,
        "preset": job.preset,
        "weights": _weights(job.weights),
        "no better weights": (job.weights or {}).get("reason"),
        "worker": job.worker,
        "created": job.created_at,
        "started": job.started_at,
        "ended": job.ended_at,
        "kept until": job.expires_at,
    }
    yield from ((name, value) for name, value in optional.items() if value)
    yield from job.params.items()


def _eta_text(eta: Eta) -> str:
    """Write when a job is expected to end."""
    likely = "" if eta.p50_s is None else f"in about {duration_text(eta.p50_s)}"
    surely = "" if eta.p90_s is None else f"nine times in ten within {duration_text(eta.p90_s)}"
    return ", ".join(filter(None, (likely, surely)))


def _weights(weights: Any) -> str:
    if isinstance(weights, dict):
        return f"{weights.get('name', '')} {str(weights.get('sha256', ''))[:12]}".strip()
    return str(weights or "")
