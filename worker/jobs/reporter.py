"""Tells the world how one job gets on: every step to Redis, the last one to the database, previews on time.

Called once per chunk. It also brings back what is wished of the job: quickly from Redis, surely from the
database, through the heartbeat.

Invariant: Redis being away costs history and speed of cancel, never the painting.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from shared.db.jobs.claims import Claim, StopRequests
from shared.imaging import codec
from shared.messaging.progress import ProgressWriter
from shared.settings import Settings
from worker.engine.types import Chunk, Losses
from worker.jobs.checkpoints import last_step
from worker.jobs.film_strip import Film
from worker.jobs.heartbeat import Heartbeat

#: The columns of `losses.json` and of the API's `/losses`.
COLUMNS = ("step", "scale", *Losses._fields, "step_ms")


class Reporter:
    """The progress of one attempt at one job."""

    def __init__(self, claim: Claim, heartbeat: Heartbeat, progress: ProgressWriter, settings: Settings) -> None:
        """Begin with no step; `start` brings those of earlier attempts."""
        self._claim = claim
        self._heartbeat = heartbeat
        self._progress = progress
        self._preview_px = settings.preview_px
        self._preview_every_s = settings.preview_interval_s
        self._preview_at = 0.0
        self.began_at = time.monotonic()
        self.film = Film()
        self.columns: dict[str, list[float]] = {name: [] for name in COLUMNS}

    def start(self, columns: Mapping[str, list[float]] | None = None) -> None:
        """Begin the history of this attempt, after the steps of earlier ones that it goes on from."""
        if columns is not None:
            self.columns = dict(columns)
        self._progress.started(self._claim.job_id, self._claim.attempt, after_step=last_step(self.columns))

    def chunk_done(self, chunk: Chunk) -> StopRequests:
        """Report a chunk, which has no step if its first one failed; return what is wished. Raises `LostRace`."""
        steps = [_step(chunk, number, losses) for number, losses in enumerate(chunk.losses, start=chunk.first)]
        for step in steps:
            flat = {**step, **step["losses"]}
            for name, column in self.columns.items():
                column.append(flat[name])
        if steps:
            self._heartbeat.progress = steps[-1]
        hurried = self._progress.steps(self._claim.job_id, steps, self._preview(chunk) if steps else None)
        wishes = self._heartbeat.check()
        return wishes._replace(cancel=wishes.cancel or hurried)

    def _preview(self, chunk: Chunk) -> bytes | None:
        now = time.monotonic()
        if now - self._preview_at < self._preview_every_s and not chunk.final:
            return None
        self._preview_at = now
        preview = codec.encode(codec.thumbnail(chunk.image(), self._preview_px), format="jpeg", quality=85)
        self.film.see(preview)
        return preview


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
