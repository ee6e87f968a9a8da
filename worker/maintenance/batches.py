"""Batch maintenance: cancels items, folds counts into the batches' rows, finishes batches whose items have ended."""

from __future__ import annotations

from collections.abc import Iterable

from redis import RedisError

from shared import logs
from shared.db.base import Database
from shared.db.batches import counts, items, lifecycle
from shared.messaging.progress import RedisProgress

log = logs.get(__name__)


class BatchMaintenance:
    """Batch maintenance of one process; any number of processes may run it."""

    def __init__(self, database: Database, progress: RedisProgress) -> None:
        """Open nothing yet."""
        self._database = database
        self._progress = progress

    def run(self) -> None:
        """Cancel, count and finish everything that is due, a bounded number of rows in each transaction."""
        with self._database.reading() as session:
            if not lifecycle.has_work(session):
                return
        while self._cancel_some():
            self._fold()
        self._fold()
        with self._database.writing("settle") as session:
            settled = lifecycle.end_completed(session)
        for batch_id, state in settled:
            log.info("batch_ended", batch_id=batch_id, state=state)

    def _cancel_some(self) -> int:
        with self._database.writing("cancel_items") as session:
            count, running = items.cancel_chunk(session)
        hurry_cancels(self._progress, running)
        return count

    def _fold(self) -> None:
        folded = 1
        while folded:
            with self._database.writing("fold") as session:
                folded = counts.fold(session)


def hurry_cancels(progress: RedisProgress, job_ids: Iterable[str]) -> None:
    """Tell running jobs through Redis that their cancel is requested; without it, workers learn it from the rows."""
    try:
        for job_id in job_ids:
            progress.signal_cancel(job_id)
    except RedisError as error:
        log.warning("cancel_not_hurried", reason=str(error))
