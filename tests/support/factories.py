"""Rows and pictures for tests, each valid unless told otherwise."""

from typing import Any

import numpy as np
from sqlalchemy import select

from shared import clock, ids
from shared.db import stored_bytes, workers
from shared.db.access import keys
from shared.db.admin import bulk_actions
from shared.db.base import Database
from shared.db.batches import items as batch_items
from shared.db.batches import lifecycle
from shared.db.batches.items import NewItem
from shared.db.jobs import transitions
from shared.db.models import ApiKey, Batch, Image, ImageOwner, Job, Operation
from shared.painting.params import resolve
from shared.states import BatchState, DesiredState
from worker.engine.types import Picture

#: What a worker says of itself.
WEIGHTS = {"name": "patch", "sha256": "0"}
ABOUT = {"weights": WEIGHTS, "device": {"kind": "CPU"}}


def picture(width: int = 24, height: int = 16, seed: int = 0) -> Picture:
    """A smooth coloured picture."""
    coarse = np.random.default_rng(seed).random((4, 4, 3))
    rows = np.linspace(0, 3, height).round().astype(int)
    columns = np.linspace(0, 3, width).round().astype(int)
    return coarse[rows][:, columns].astype(np.float32)


def add_image(database: Database, data: bytes = b"bytes", *, owner: str = "local", **values: Any) -> str:
    """Add an image's row and return its id."""
    image_id, now = ids.image_id(data), clock.now()
    row = {"width": 24, "height": 16, "format": "png", "size_bytes": len(data), "created_at": now, "last_used_at": now}
    with database.writing() as session:
        session.merge(Image(id=image_id, **row | values))
        session.flush()
        if session.get(ImageOwner, (image_id, owner)) is None:
            session.add(ImageOwner(image_id=image_id, owner=owner, created_at=now))
            stored_bytes.add(session, {owner: (row | values)["size_bytes"]})
    return image_id


def new_job(image_id: str, **values: Any) -> Job:
    """Make a job that paints an image like itself; it is in no database yet."""
    params = resolve("classic", values.pop("params", {"size": 32, "steps": 4}))
    defaults: dict[str, Any] = {
        "id": ids.new_id(),
        "owner": "local",
        "preset": "classic",
        "params": params.model_dump(),
        "content_id": image_id,
        "styles": [{"image": image_id, "weight": 1.0}],
        "annotations": {},
        "priority": 0,
    }
    return Job(**{**defaults, **values})


def add_job(database: Database, **values: Any) -> str:
    """Queue a job and return its id."""
    job = new_job(values.pop("image_id", None) or add_image(database), **values)
    with database.writing() as session:
        transitions.create(session, job)
    return job.id


def add_key(database: Database, role: str = "operator", owner: str = "local", **limits: Any) -> str:
    """Make an API key and return it in full."""
    with database.writing() as session:
        return keys.create(session, ApiKey(name=f"{owner}'s", owner=owner, role=role, **limits))


def add_batch(database: Database, **values: Any) -> str:
    """Add a batch, open unless `state` says otherwise; return its id."""
    defaults: dict[str, Any] = {
        "owner": "local",
        "preset": "fast",
        "params": {},
        "styles": [],
        "priority": 0,
        "reuse": False,
        "annotations": {},
        "retention_s": 86_400.0,
    }
    state = values.pop("state", BatchState.OPEN)
    batch = Batch(**{**defaults, **values})
    with database.writing() as session:
        lifecycle.create(session, batch)
        batch.state = state
    return batch.id


def add_operation(database: Database, **values: Any) -> str:
    """Begin an operation, one that cancels what is labelled `sea` unless told otherwise; return its id."""
    defaults = {"action": "cancel", "chosen": {"label": "sea"}, "reason": "r", "key_id": "k", "matched": 0}
    made = Operation(**{**defaults, **values})
    with database.writing() as session:
        bulk_actions.create(session, made)
    return made.id


def add_items(database: Database, batch_id: str, count: int, *, first: int = 0, **values: Any) -> list[str]:
    """Add items to a batch, with keys `item-0` and so on; return their jobs' ids in order."""
    image_id = add_image(database)
    defaults = {"params": {"size": 64}, "styles": [], "group_key": None, "work_key": "w", "predicted_s": None}
    items = [
        NewItem(key=f"item-{number}", content_id=image_id, work=1.0, **{**defaults, **values})
        for number in range(first, first + count)
    ]
    with database.writing() as session:
        batch_items.add(session, lifecycle.lock_batch(session, batch_id), items)
    keys = [item.key for item in items]
    with database.reading() as session:
        query = select(Job.id).where(Job.batch_id == batch_id, Job.item_key.in_(keys)).order_by(Job.sort_id)
        return list(session.scalars(query))


def add_worker(
    database: Database, name: str, wish: DesiredState = DesiredState.WORK, about: dict | None = ABOUT
) -> None:
    """Add a worker that was just heard of."""
    with database.writing() as session:
        workers.record_heartbeat(session, name, about)
        workers.set_desired_state(session, name, wish)
