"""The chores of batches: counts brought up to date, canceled items ended, batches found to be over."""

from __future__ import annotations

from redis import RedisError

from shared import logs
from shared.db.base import Database
from shared.db.batches import counts, items, lifecycle
from shared.messaging.progress import RedisProgress

log = logs.get(__name__)


class BatchKeeper:
    """What one maintenance process does for batches; any number of these may run."""

    def __init__(self, database: Database, progress: RedisProgress) -> None:
        """Open nothing yet."""
        self._database = database
        self._progress = progress

    def run(self) -> None:
        """Cancel, count, settle; all there is to be canceled, a bounded number in each transaction."""
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
        for job_id in running:
            try:
                self._progress.signal_cancel(job_id)
            except RedisError as error:
                log.warning("cancel_not_hurried", job_id=job_id, reason=str(error))  # the row holds the wish
        return count

    def _fold(self) -> None:
        folded = 1
        while folded:
            with self._database.writing("fold") as session:
                folded = counts.fold(session)
