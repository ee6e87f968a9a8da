"""How jobs, failed pictures, workers, the queue and estimates look in a terminal."""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple, Self

from rich.text import Text

from api.cli.display.job_bar import step_text, waiting_text
from api.cli.display.layout import Column, age, coloured, duration_text, print_facts, print_table
from api.client import ItemResult
from api.client.models import Backlog, Estimate, Eta, Job, Worker

#: Ids are never cut, because the next command needs them.
JOB_COLUMNS: tuple[Column, ...] = (("ID", 36), ("STATE", 9), ("STEP", 9, "right"), ("AGE", 6, "right"), ("LABEL", 0))
WORKER_COLUMNS: tuple[Column, ...] = (("NAME", 4), ("STATE", 7), ("JOB", 36), ("WEIGHTS", 8), ("LAST SEEN", 9, "right"))


class FailedPicture(NamedTuple):
    """A picture of a batch without a result: its key, and the error or the state that explains why."""

    key: str
    code: str
    message: str

    @classmethod
    def of(cls, result: ItemResult) -> Self:
        """Say why an ended item has no picture."""
        error = result.error
        return cls(result.key, error.code, error.message) if error else cls(result.key, result.state, "")


def print_failed_pictures(failed: Iterable[FailedPicture]) -> None:
    """Print a table of the pictures that a batch could not paint, by key."""
    rows = sorted(failed)
    print_table((("PICTURE", 0), ("CODE", 16), ("REASON", 0)), rows, nothing="", whole=True)


def job_cells(job: Job) -> tuple[str | Text, ...]:
    """Return a job's row of a table with `JOB_COLUMNS`."""
    steps = f"{job.progress.step}/{job.progress.total}" if job.progress else ""
    return job.id, coloured(job.state), steps, age(job.created_at), job.label or ""


def worker_cells(worker: Worker) -> tuple[str | Text, ...]:
    """Return a worker's row of a table with `WORKER_COLUMNS`; its state includes the one that it has yet to reach."""
    state = coloured(worker.state)
    if worker.state == "working" and worker.wish in ("pause", "drain"):
        state.append(f", will {worker.wish}")
    seen = f"{age(worker.seen_at)} ago" if worker.seen_at else ""
    return worker.name, state, worker.job_id or "", _weights(worker.weights), seen


def print_backlog(backlog: Backlog) -> None:
    """Print the figures of the queue."""
    oldest_s = backlog.oldest_waiting_s
    print_facts(
        {
            "queued": backlog.queued
            if backlog.sent is None
            else f"{backlog.queued}, {backlog.sent} of them sent to workers",
            "running": backlog.running,
            "workers": backlog.workers,
            "oldest": None if oldest_s is None else f"waiting for {duration_text(oldest_s)}",
            "paused": backlog.paused_at and f"since {backlog.paused_at}",
            "held": backlog.held_for and f"until this is fixed: {backlog.held_for}",
        }
    )


def print_estimate(estimate: Estimate | None) -> None:
    """Print what a run is predicted to take."""
    if estimate is None:
        print_facts({"estimate": "none: no worker has measured its device yet"})
        return
    sizes = ", ".join(f"{size.width}×{size.height}" for size in estimate.scales)
    print_facts(
        {
            "time": f"about {duration_text(estimate.seconds)}",
            "memory": f"{estimate.peak_bytes / 1e9:.1f} GB at most",
            "scales": sizes and f"{sizes} px",
            "tiles": f"{estimate.tile_size} px" if estimate.tile_size else None,
        }
    )


def print_job(job: Job) -> None:
    """Print everything worth knowing about one job."""
    print_facts(
        {
            "job": job.id,
            "state": coloured(job.state),
            "error": job.error and f"{job.error.message} ({job.error.code})",
            "progress": job.progress and step_text(job.progress),
            "result": job.result and _result_text(job.result),
            "queue": job.queue and waiting_text(job),
            "ends": _eta_text(job.eta) if job.eta and not job.ended else None,
            "retry at": job.retry_at if job.state == "queued" else None,
            "start by": job.start_by,
            "priority": job.priority or None,
            "time limit": job.time_limit_s and duration_text(job.time_limit_s),
            "photograph": job.name,
            "label": job.label,
            "owner": job.owner,
            "retry of": job.retry_of,
            "webhook": job.webhook,
            "bits": job.depth if job.depth != 8 else None,
            "metadata": "kept" if job.keep_metadata else None,
            "preset": job.preset,
            "weights": _weights(job.weights),
            "no better weights": (job.weights or {}).get("reason"),
            "worker": job.worker,
            "created": job.created_at,
            "started": job.started_at,
            "ended": job.ended_at,
            "kept until": job.expires_at,
            # as `--param` reads them
            **{name: value if isinstance(value, str) else json.dumps(value) for name, value in job.params.items()},
        }
    )


def _result_text(result: dict[str, Any]) -> str:
    partial = ", partial" if result.get("partial") else ""
    strength = result.get("strength", 1)
    return (
        f"{result.get('width')}×{result.get('height')} px{partial}{'' if strength == 1 else f', strength {strength:g}'}"
    )


def _eta_text(eta: Eta) -> str:
    median = "" if eta.p50_s is None else f"in about {duration_text(eta.p50_s)}"
    p90 = "" if eta.p90_s is None else f"in 9 of 10 cases within {duration_text(eta.p90_s)}"
    return ", ".join(filter(None, (median, p90)))


def _weights(weights: dict[str, Any] | None) -> str:
    return f"{weights.get('name', '')} {str(weights.get('sha256', ''))[:12]}".strip() if weights else ""
