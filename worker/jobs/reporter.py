"""Reports the progress of one attempt: every step to Redis, the latest one to the database, previews at intervals.

Called once per chunk, and returns what is requested of the job: cancels arrive quickly through Redis, and reliably
through the database with the heartbeat.

Invariant: losing Redis costs history and delays cancels, and never stops the painting.
"""

import time
from collections.abc import Mapping
from typing import Any

from shared.db.jobs.claims import Claim, StopRequests
from shared.imaging import codec
from shared.messaging.progress import RedisProgress
from shared.painting.steps import Step, StepLosses, loss_columns
from shared.settings import Settings
from worker.engine.types import Chunk
from worker.jobs.checkpoints import last_step
from worker.jobs.film_strip import FilmStrip
from worker.jobs.heartbeat import Heartbeat


class Reporter:
    """The progress of one attempt."""

    def __init__(self, claim: Claim, heartbeat: Heartbeat, progress: RedisProgress, settings: Settings) -> None:
        """Start without steps; `start` adds those of earlier attempts."""
        self._claim = claim
        self._heartbeat = heartbeat
        self._progress = progress
        self._preview_px = settings.preview_px
        self._preview_every_s = settings.preview_interval_s
        self._preview_at = 0.0
        self.began_at = time.monotonic()
        self.film_strip = FilmStrip()
        #: Every step so far, as the columns of `losses.json`.
        self.columns: dict[str, list[Any]] = loss_columns(())

    def start(self, columns: Mapping[str, list[Any]] | None = None) -> None:
        """Begin this attempt's history, after the steps of earlier attempts that it resumes."""
        if columns is not None:
            self.columns = dict(columns)
        self._progress.started(self._claim.job_id, self._claim.attempt, after_step=last_step(self.columns))

    def report(self, chunk: Chunk) -> StopRequests:
        """Report a chunk, which is empty if its first step failed; return what is requested. Raises `LostRace`."""
        steps = _steps_of(chunk)
        for name, values in loss_columns(steps).items():
            self.columns[name].extend(values)
        if steps:
            self._heartbeat.progress = steps[-1]
        hurried = self._progress.steps(self._claim.job_id, steps, self._preview(chunk) if steps else None)
        requests = self._heartbeat.check()
        return requests._replace(cancel=requests.cancel or hurried)

    def _preview(self, chunk: Chunk) -> bytes | None:
        now = time.monotonic()
        if now - self._preview_at < self._preview_every_s and not chunk.final:
            return None
        self._preview_at = now
        preview = codec.encode(codec.thumbnail(chunk.image(), self._preview_px), format="jpeg", quality=85)
        self.film_strip.add(preview)
        return preview


def _steps_of(chunk: Chunk) -> list[Step]:
    return [
        Step(
            step=number,
            total=chunk.total,
            scale=chunk.scale,
            scales=chunk.scales,
            losses=StepLosses(total=losses.total, content=losses.content, style=losses.style, tv=losses.tv),
            step_ms=round(chunk.step_ms, 3),
            eta_s=round(chunk.eta_s, 3),
        )
        for number, losses in enumerate(chunk.losses, start=chunk.first)
    ]
