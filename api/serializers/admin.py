"""What operators see: workers, the queue and API keys."""

from api.schemas import admin as schemas
from api.serializers.rows import serialize
from shared import clock
from shared.clock import rfc3339
from shared.db import images, workers
from shared.db.base import Database
from shared.db.jobs import queries
from shared.db.models import ApiKey, Worker
from shared.states import DesiredState

#: The state of a live worker without a job, by what operators want of it; `idle` otherwise.
_IDLE: dict[str, str] = {DesiredState.PAUSE: "paused", DesiredState.DRAIN: "drained"}


def serialize_workers(database: Database) -> schemas.WorkersView:
    """List all workers with the job that each runs."""
    with database.reading() as session:
        living = {worker.name for worker in workers.list_alive(session)}
        running = queries.running_by_worker(session)
        known = workers.list_workers(session)
        present = images.list_present(session, {style for worker in known for style in _warm_styles(worker)})
    views = [_worker(worker, running.get(worker.name), is_alive=worker.name in living) for worker in known]
    for view in views:
        # a worker may have measured styles of another installation, or long expired, in a folder that it shares
        view.warm_styles = [style for style in view.warm_styles if style in present]
    return schemas.WorkersView(workers=views)


def serialize_backlog(database: Database) -> schemas.BacklogView:
    """Summarize the queue."""
    with database.reading() as session:
        queue, living, backlog = workers.get_queue(session), workers.list_alive(session), queries.get_backlog(session)
    waiting_s = (clock.now() - backlog.oldest_at).total_seconds() if backlog.oldest_at else None
    return serialize(
        schemas.BacklogView,
        backlog,
        oldest_waiting_s=None if waiting_s is None else round(max(0.0, waiting_s), 3),
        paused_at=rfc3339(queue.paused_at),
        held_for=queue.held_for,
        workers=len(living),
    )


def _worker(worker: Worker, job_id: str | None, *, is_alive: bool) -> schemas.WorkerView:
    """Serialize a worker and the job that it runs; its `about`, which heartbeats bring, is empty until it is ready."""
    about = worker.about or {}
    limit = about.get("capacity", {}).get("memory_bytes")
    return serialize(
        schemas.WorkerView,
        worker,
        state="gone" if not is_alive else "working" if job_id else _IDLE.get(worker.desired_state, "idle"),
        wish=worker.desired_state,
        job_id=job_id,
        weights=about.get("weights"),
        device=about.get("device"),
        memory=None if limit is None else {"limit": limit, **about.get("memory", {})},
        warm_styles=_warm_styles(worker),
    )


def _warm_styles(worker: Worker) -> list[str]:
    return list((worker.about or {}).get("warm_styles", []))


def serialize_key(key: ApiKey) -> schemas.KeyView:
    """Serialize a key without its secret."""
    return serialize(schemas.KeyView, key, links={"self": f"/v1/keys/{key.id}"})


def serialize_new_key(key: ApiKey, token: str) -> schemas.NewKeyView:
    """Serialize a new key with its secret, the only time it is shown."""
    return serialize(schemas.NewKeyView, key, key=token, links={"self": f"/v1/keys/{key.id}"})
