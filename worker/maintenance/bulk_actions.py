"""Carries out bulk actions, chunk by chunk, with those under way taking turns; any number of processes may.

What follows a chunk's commit may be lost if the process dies, without harm: each cancel request is in its job's row,
and the orphan search deletes files without a row.
"""

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


def advance_bulk_actions(
    database: Database, store: ImageStore, progress: RedisProgress, *, stored: int | None = None
) -> None:
    """Run chunks of all bulk actions in turn until none makes progress.

    `stored` is how many bytes owners may store by default; None is no limit.
    """
    while True:
        with database.reading() as session:
            running = bulk_actions.list_running(session)
        advanced = [_advance(operation_id, database, store, progress, stored) for operation_id in running]
        if not any(advanced):
            return
        time.sleep(_PAUSE_S)


def _advance(
    operation_id: str, database: Database, store: ImageStore, progress: RedisProgress, stored: int | None
) -> bool:
    """Run one chunk; tell whether the bulk action made progress."""
    with database.writing("advance_operation") as session:
        chunk = bulk_actions.run_chunk(session, operation_id, stored=stored)
    if chunk is None:
        return False
    hurry_cancels(progress, chunk.result.stopping)
    delete_job_files(store, chunk.result.removed)
    operation = chunk.operation
    if operation.state == OperationState.DONE:
        log.info("operation_done", operation_id=operation.id, done=operation.done, refused=operation.refused)
    return chunk.advanced
