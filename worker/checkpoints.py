"""Checkpoints in storage: all that the next attempt needs to go on as if nothing had happened.

Written by time and before a job is handed back, one file per attempt, replaced as a whole. The row names it
only after it is there, so a checkpoint that can be found can be read; one that cannot costs the steps made,
never the job.
"""

from __future__ import annotations

import time
import zipfile
from collections.abc import Mapping
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np

from shared import logs
from shared.db.models import Job
from shared.errors import NotFound, StorageFull, StorageUnavailable
from shared.storage import ImageStore, attempt_key
from worker.engine.steps import Snapshot

#: Saving may take this share of the time at most: a large picture is saved less often.
_MOST_SHARE = 0.05
_COLUMN = "column_"
_STATE = "state_"

log = logs.get(__name__)


class Checkpoint(NamedTuple):
    """Where an attempt goes on: the engine's state, and the losses of every step made before."""

    snapshot: Snapshot
    columns: dict[str, list[float]]


class Checkpointer:
    """Saves the checkpoints of one attempt."""

    def __init__(self, job_id: str, attempt: int, store: ImageStore, every_s: float) -> None:
        """Count the time to the first checkpoint from now."""
        self._key = attempt_key(job_id, attempt, "checkpoint.npz")
        self._store = store
        self._every_s = every_s
        self._due_at = time.monotonic() + every_s

    @property
    def due(self) -> bool:
        """Whether it is time for the next."""
        return time.monotonic() >= self._due_at

    def save(self, snapshot: Snapshot, columns: Mapping[str, list[float]]) -> dict[str, Any] | None:
        """Save a checkpoint; return what the row shall say of it, or None if storage does not take it now."""
        started = time.monotonic()
        try:
            self._store.put(self._key, _encoded(snapshot, columns))
        except (StorageFull, StorageUnavailable) as error:
            log.warning("checkpoint_not_saved", code=error.code)
            return None
        finally:
            now = time.monotonic()
            self._due_at = now + max(self._every_s, (now - started) / _MOST_SHARE)
        return {"key": self._key, "step": len(columns["step"])}


def load(job: Job, store: ImageStore) -> Checkpoint | None:
    """Read the checkpoint that a job's row names; None if there is none to go on from."""
    if not job.checkpoint:
        return None
    try:
        return _decoded(store.get(job.checkpoint["key"]))
    except (NotFound, ValueError, KeyError, zipfile.BadZipFile) as error:
        log.warning("checkpoint_unreadable", key=job.checkpoint["key"], reason=str(error))
        return None


def _encoded(snapshot: Snapshot, columns: Mapping[str, list[float]]) -> bytes:
    arrays = {f"{_STATE}{name}": value for name, value in snapshot.state.items()}
    arrays |= {f"{_COLUMN}{name}": np.asarray(values, np.float64) for name, values in columns.items()}
    file = BytesIO()
    np.savez(file, allow_pickle=False, place=np.asarray([snapshot.scale, snapshot.done]), **arrays)
    return file.getvalue()


def _decoded(data: bytes) -> Checkpoint:
    with np.load(BytesIO(data), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    scale, done = arrays.pop("place").tolist()
    state = {name.removeprefix(_STATE): array for name, array in arrays.items() if name.startswith(_STATE)}
    columns = {name.removeprefix(_COLUMN): array for name, array in arrays.items() if name.startswith(_COLUMN)}
    whole = {"step", "scale"}
    return Checkpoint(
        Snapshot(scale, done, state),
        {name: (array.astype(int) if name in whole else array).tolist() for name, array in columns.items()},
    )
