"""What operators see: workers, the queue and API keys."""

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


def serialize_workers(database: Database) -> schemas.WorkersView:
    """List all workers with the job that each runs."""
    with database.reading() as session:
        living = {worker.name for worker in workers.list_alive(session)}
        running = queries.running_by_worker(session)
        known = workers.list_workers(session)
    return schemas.WorkersView(
        workers=[_worker(worker, running.get(worker.name), is_alive=worker.name in living) for worker in known]
    )


def serialize_backlog(database: Database) -> schemas.BacklogView:
    """Summarize the queue."""
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


def _worker(worker: Worker, job_id: str | None, *, is_alive: bool) -> schemas.WorkerView:
    about = worker.about or {}
    limit = about.get("capacity", {}).get("memory_bytes")
    return schemas.WorkerView(
        name=worker.name,
        state="gone" if not is_alive else "working" if job_id else _IDLE.get(worker.desired_state, "idle"),
        wish=DesiredState(worker.desired_state),
        job_id=job_id,
        weights=about.get("weights"),
        device=about.get("device"),
        memory=None if limit is None else {"limit": limit, **about.get("memory", {})},
        warm_styles=about.get("warm_styles", []),
        started_at=str(rfc3339(worker.started_at)),
        seen_at=str(rfc3339(worker.seen_at)),
    )


_IDLE: dict[str, Literal["idle", "paused", "drained"]] = {DesiredState.PAUSE: "paused", DesiredState.DRAIN: "drained"}
_KEY_FIELDS = (
    "id", "name", "owner", "role", "max_waiting", "max_work_per_day", "max_requests_per_min", "max_retention_s",
)  # fmt: skip


def serialize_key(key: ApiKey) -> KeyView:
    """Serialize a key without its secret."""
    return KeyView(**_key_values(key))


def serialize_new_key(key: ApiKey, token: str) -> NewKeyView:
    """Serialize a new key with its secret, the only time it is shown."""
    return NewKeyView(**_key_values(key), key=token)


def _key_values(key: ApiKey) -> dict[str, Any]:
    times = {"created_at": str(rfc3339(key.created_at)), "revoked_at": rfc3339(key.revoked_at)}
    return {name: getattr(key, name) for name in _KEY_FIELDS} | times | {"links": {"self": f"/v1/keys/{key.id}"}}
