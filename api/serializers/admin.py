"""Rows as resources: what an operator sees of the workers and the queue."""

from __future__ import annotations

from typing import Any, Literal

from api.schemas import admin as schemas
from api.schemas.admin import KeyView, NewKeyView
from shared import clock
from shared.clock import rfc3339
from shared.db import workers
from shared.db.base import Database
from shared.db.jobs import queries
from shared.db.models import ApiKey, Worker
from shared.states import DesiredState


def workers_view(database: Database) -> schemas.WorkersView:
    """Show all workers."""
    with database.reading() as session:
        living = {worker.name for worker in workers.list_alive(session)}
        running = queries.running_by_worker(session)
        known = workers.list_workers(session)
    views = [_worker_view(worker, running.get(worker.name), lives=worker.name in living) for worker in known]
    return schemas.WorkersView(workers=views)


def backlog_view(database: Database) -> schemas.BacklogView:
    """Show the queue as a whole."""
    with database.reading() as session:
        queue, living, backlog = workers.get_queue(session), workers.list_alive(session), queries.get_backlog(session)
    waiting_s = (clock.now() - backlog.oldest_at).total_seconds() if backlog.oldest_at else None
    return schemas.BacklogView(
        queued=backlog.queued,
        running=backlog.running,
        sent=backlog.sent,
        oldest_waiting_s=None if waiting_s is None else round(max(0.0, waiting_s), 3),
        paused_at=rfc3339(queue.paused_at),
        held_for=queue.held_for,
        workers=len(living),
    )


def _worker_view(worker: Worker, job_id: str | None, *, lives: bool) -> schemas.WorkerView:
    idle: dict[str, Literal["idle", "paused", "drained"]] = {
        DesiredState.PAUSE: "paused",
        DesiredState.DRAIN: "drained",
    }
    about = worker.about or {}
    limit = about.get("capacity", {}).get("memory_bytes")
    return schemas.WorkerView(
        name=worker.name,
        state="gone" if not lives else "working" if job_id else idle.get(worker.desired_state, "idle"),
        wish=DesiredState(worker.desired_state),
        job_id=job_id,
        weights=about.get("weights"),
        device=about.get("device"),
        memory=None if limit is None else {"limit": limit, **about.get("memory", {})},
        warm_styles=about.get("warm_styles", []),
        started_at=str(rfc3339(worker.started_at)),
        seen_at=str(rfc3339(worker.seen_at)),
    )


_SHOWN = (
    "id", "name", "owner", "role", "max_waiting", "max_work_per_day", "max_requests_per_min", "max_retention_s",
)  # fmt: skip


def key_view(key: ApiKey) -> KeyView:
    """Show a key."""
    return KeyView(**_values(key))


def new_key_view(key: ApiKey, token: str) -> NewKeyView:
    """Show a key that was just made, in full."""
    return NewKeyView(**_values(key), key=token)


def _values(key: ApiKey) -> dict[str, Any]:
    moments = {"created_at": str(rfc3339(key.created_at)), "revoked_at": rfc3339(key.revoked_at)}
    return {name: getattr(key, name) for name in _SHOWN} | moments | {"links": {"self": f"/v1/keys/{key.id}"}}
