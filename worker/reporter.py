"""Tells the world how one job gets on: every step to Redis, the last one to the database, previews on time.

Called once per chunk. It also brings back the client's wish: quickly from Redis, surely from the database.

Invariant: Redis being away costs history and speed of cancel, never the painting; a claim that no longer
holds raises `LostRace` within `_DATABASE_EVERY_S`.
"""

from __future__ import annotations

import time
from typing import Any

from shared import images
from shared.db import jobs
from shared.db.base import Database
from shared.db.jobs import Claim
from shared.progress import ProgressWriter
from shared.settings import Settings
from worker.engine.steps import Chunk, Losses

#: Least time between two writes of progress to the database, in seconds.
_DATABASE_EVERY_S = 1.0

#: The columns of `losses.json` and of the API's `/losses`.
COLUMNS = ("step", "scale", *Losses._fields, "step_ms")


class Reporter:
    """The progress of one attempt at one job."""

    def __init__(self, claim: Claim, database: Database, progress: ProgressWriter, settings: Settings) -> None:
        """Begin a fresh history."""
        self._claim = claim
        self._database = database
        self._progress = progress
        self._preview_px = settings.preview_px
        self._preview_every_s = settings.preview_interval_s
        self._preview_at = 0.0
        self._written_at = 0.0
        self.began_at = time.monotonic()
        self.latest: dict[str, Any] | None = None
        self.columns: dict[str, list[float]] = {name: [] for name in COLUMNS}
        progress.started(claim.job_id, claim.attempt)

    def chunk_done(self, chunk: Chunk) -> bool:
        """Report a chunk; say whether the job is wished canceled. Raises `LostRace`."""
        steps = [_step(chunk, number, losses) for number, losses in enumerate(chunk.losses, start=chunk.first)]
        for step in steps:
            flat = {**step, **step["losses"]}
            for name, column in self.columns.items():
                column.append(flat[name])
        self.latest = steps[-1]
        wished = self._progress.steps(self._claim.job_id, steps, self._preview(chunk))
        return self._write() or wished

    def _preview(self, chunk: Chunk) -> bytes | None:
        now = time.monotonic()
        if now - self._preview_at < self._preview_every_s and chunk.last < chunk.total:
            return None
        self._preview_at = now
        return images.encode(images.thumbnail(chunk.image(), self._preview_px), format="jpeg", quality=85)

    def _write(self) -> bool:
        now = time.monotonic()
        if self.latest is None or now - self._written_at < _DATABASE_EVERY_S:
            return False
        self._written_at = now
        with self._database.writing() as session:
            return jobs.record_progress(session, self._claim, self.latest)


def _step(chunk: Chunk, number: int, losses: Losses) -> dict[str, Any]:
    return {
        "step": number,
        "total": chunk.total,
        "scale": chunk.scale,
        "scales": chunk.scales,
        "losses": losses._asdict(),
        "step_ms": round(chunk.step_ms, 3),
        "eta_s": round(chunk.eta_s, 3),
    }
