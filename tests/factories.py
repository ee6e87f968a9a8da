"""Rows and pictures for tests, each valid unless told otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np

from shared import clock, ids
from shared.db import keys
from shared.db.base import Database
from shared.db.models import ApiKey, Image, ImageOwner, Job
from shared.params import resolve
from worker.engine.steps import Picture


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
        session.merge(ImageOwner(image_id=image_id, owner=owner, created_at=now))
    return image_id


def new_job(image_id: str, **values: Any) -> Job:
    """Make a job that paints an image like itself; it is in no database yet."""
    params = resolve("classic", values.pop("params", {"size": 32, "steps": 4}))
    defaults: dict[str, Any] = {
        "id": ids.new_id(),
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
    from shared.db import jobs

    job = new_job(values.pop("image_id", None) or add_image(database), **values)
    with database.writing() as session:
        jobs.create(session, job)
    return job.id


def add_key(database: Database, role: str = "operator", owner: str = "local", **limits: Any) -> str:
    """Make an API key and return it in full."""
    with database.writing() as session:
        return keys.create(session, ApiKey(name=f"{owner}'s", owner=owner, role=role, **limits))
