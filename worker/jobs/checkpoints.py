"""Checkpoints in storage, from which the next attempt resumes as if it had never been interrupted.

A checkpoint holds the engine's state, the losses so far and the frames of a timelapse. It is saved at intervals and
before a job is handed back, in one file per attempt, replaced as a whole; only then does the row name it.

Invariant: a checkpoint that cannot be read costs the steps made, never the job. That includes one written before an
upgrade that renamed arrays, as `position` and those of the optimizers were: the job starts again.
"""

import time
import zipfile
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared import logs
from shared.db.models import Job
from shared.errors import NotFound, StorageFull, StorageUnavailable
from shared.storage.store import ImageStore, attempt_key
from worker.engine.timelapse import Frame
from worker.engine.types import Snapshot

#: The array with the scale and the steps made at it. Rename it with any array of the engine's state: a file without it
#: is unreadable here, whereas the engine would fail on a state with other names.
_POSITION = "position"
#: Largest share of the time that saving may take, over all jobs painted together: large pictures are saved less often.
_MOST_SHARE = 0.05
_COLUMN = "column_"
_STATE = "state_"
_FRAME = "frame_"

log = logs.get(__name__)


class Checkpoint(NamedTuple):
    """The engine's state, the losses of all steps so far as columns, and the frames of a timelapse."""

    snapshot: Snapshot
    columns: Mapping[str, list[float]]
    frames: Sequence[Frame] = ()


class Checkpointer:
    """Saves the checkpoints of one attempt."""

    def __init__(self, job_id: str, attempt: int, store: ImageStore, every_s: float, *, group: int = 1) -> None:
        """Save every `every_s`, counted from now; `group` is the number of jobs painted together."""
        self._key = attempt_key(job_id, attempt, "checkpoint.npz")
        self._store = store
        self._every_s = every_s
        self._most_share = _MOST_SHARE / group
        self._due_at = time.monotonic() + every_s

    @property
    def due(self) -> bool:
        """Whether it is time to save."""
        return time.monotonic() >= self._due_at

    def save(self, checkpoint: Checkpoint) -> dict[str, Any] | None:
        """Save `checkpoint`; return what the row is to say of it, or None if storage cannot take it now."""
        started = time.monotonic()
        try:
            self._store.put(self._key, _encoded(checkpoint))
        except (StorageFull, StorageUnavailable) as error:
            log.warning("checkpoint_not_saved", code=error.code)
            return None
        finally:
            now = time.monotonic()
            self._due_at = now + max(self._every_s, (now - started) / self._most_share)
        return {"key": self._key, "step": last_step(checkpoint.columns)}


def load(job: Job, store: ImageStore) -> Checkpoint | None:
    """Read the checkpoint that a job's row names; None if there is none, or this version cannot read it."""
    if not job.checkpoint:
        return None
    try:
        return _decoded(store.get(job.checkpoint["key"]))
    except (NotFound, ValueError, KeyError, zipfile.BadZipFile) as error:
        log.warning("checkpoint_unreadable", key=job.checkpoint["key"], reason=str(error))
        return None


def last_step(columns: Mapping[str, list[float]]) -> int:
    """Return the number of the last step made, 0 before the first; numbers may have gaps."""
    return int(columns["step"][-1]) if columns["step"] else 0


def _encoded(checkpoint: Checkpoint) -> bytes:
    snapshot, columns, frames = checkpoint
    arrays = {f"{_STATE}{name}": value for name, value in snapshot.state.items()}
    arrays |= {f"{_COLUMN}{name}": np.asarray(values, np.float64) for name, values in columns.items()}
    arrays |= {
        f"{_FRAME}steps": np.asarray([frame.step for frame in frames], np.int64),
        f"{_FRAME}sizes": np.asarray([len(frame.jpeg) for frame in frames], np.int64),
        f"{_FRAME}jpegs": np.frombuffer(b"".join(frame.jpeg for frame in frames), np.uint8),
    }
    file = BytesIO()
    np.savez(file, allow_pickle=False, **{_POSITION: np.asarray([snapshot.scale, snapshot.done])}, **arrays)
    return file.getvalue()


def _decoded(data: bytes) -> Checkpoint:
    with np.load(BytesIO(data), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    scale, done = arrays[_POSITION].tolist()
    whole = {"step", "scale"}
    columns = {
        name: (array.astype(int) if name in whole else array).tolist() for name, array in _of(arrays, _COLUMN).items()
    }
    return Checkpoint(Snapshot(scale, done, _of(arrays, _STATE)), columns, _frames(**_of(arrays, _FRAME)))


def _of(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _frames(steps: NDArray[Any], sizes: NDArray[Any], jpegs: NDArray[Any]) -> list[Frame]:
    parts = np.split(jpegs, np.cumsum(sizes)[:-1]) if len(sizes) else []
    return [Frame(step, part.tobytes()) for step, part in zip(steps.tolist(), parts, strict=True)]
