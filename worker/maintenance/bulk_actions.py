"""Carries out bulk actions, chunk by chunk, with those under way taking turns.

What follows a chunk's commit may be lost if the process dies, without harm: each cancel request is in its job's row,
and the orphan search deletes files without a row.
"""

from __future__ import annotations

import time

from shared import logs
from shared.db.admin import bulk_actions
from shared.db.base import Database
from shared.messaging.progress import RedisProgress
from shared.states import OperationState
from shared.storage.store import ImageStore
from worker.maintenance.batches import hurry_cancels
from worker.maintenance.retention import delete_job_files

#: Pause between chunks, in seconds: on SQLite it lets other writers, who poll for the lock, have their turn.
_PAUSE_S = 0.1

log = logs.get(__name__)


class BulkActionMaintenance:
    """Carries out bulk actions in one process; any number of processes may."""

    def __init__(self, database: Database, store: ImageStore, progress: RedisProgress) -> None:
        """Open nothing yet."""
        self._database = database
        self._store = store
        self._progress = progress

    def run(self) -> None:
        """Advance all bulk actions until none makes progress."""
        while self._advance_all():
            time.sleep(_PAUSE_S)

    def _advance_all(self) -> bool:
        with self._database.reading() as session:
            running = bulk_actions.list_running(session)
        advanced = [self._advance(operation_id) for operation_id in running]  # a list, so that all take their turn
        return any(advanced)

    def _advance(self, operation_id: str) -> bool:
        """Run one chunk; tell whether the bulk action made progress."""
        with self._database.writing("advance_operation") as session:
            chunk = bulk_actions.run_chunk(session, operation_id)
        if chunk is None:
            return False
        hurry_cancels(self._progress, chunk.result.stopping)
        delete_job_files(self._store, chunk.result.removed)
        operation = chunk.operation
        if operation.state == OperationState.DONE:
            log.info("operation_done", operation_id=operation.id, done=operation.done, refused=operation.refused)
        return chunk.advanced
