"""The chore of operations: each that is under way is carried on, portion by portion, in turns.

What follows a commit may be lost with the process and does no harm: a wish to cancel is in its job's row, and files
without a row go with the search for orphans.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from redis import RedisError

from shared import logs
from shared.db.admin import bulk_actions
from shared.db.base import Database
from shared.errors import StorageUnavailable
from shared.messaging.progress import RedisProgress
from shared.states import OperationState
from shared.storage.store import ImageStore, job_prefix

#: Between portions, in seconds: on SQLite others, who look whether they may write, get their turn.
_BREATH_S = 0.1

log = logs.get(__name__)


class OperationKeeper:
    """What one maintenance process does for operations; any number of these may run."""

    def __init__(self, database: Database, store: ImageStore, progress: RedisProgress) -> None:
        """Open nothing yet."""
        self._database = database
        self._store = store
        self._progress = progress

    def run(self) -> None:
        """Carry on all operations until none comes any further."""
        while self._round():
            time.sleep(_BREATH_S)

    def _round(self) -> bool:
        with self._database.reading() as session:
            under_way = bulk_actions.list_running(session)
        moved = [self._advance(operation_id) for operation_id in under_way]  # each of them, whatever comes of others
        return any(moved)

    def _advance(self, operation_id: str) -> bool:
        """Do one portion; say whether the operation came any further."""
        with self._database.writing("advance_operation") as session:
            portion = bulk_actions.run_chunk(session, operation_id)
        if portion is None:
            return False
        self._hurry(portion.result.stopping)
        self._remove_files(portion.result.removed)
        found = portion.operation
        if found.state == OperationState.DONE:
            log.info("operation_done", operation_id=found.id, done=found.done, refused=found.refused)
        return portion.advanced

    def _hurry(self, job_ids: Iterable[str]) -> None:
        try:
            for job_id in job_ids:
                self._progress.signal_cancel(job_id)
        except RedisError as error:
            log.warning("cancel_not_hurried", reason=str(error))  # the rows hold the wishes

    def _remove_files(self, job_ids: Iterable[str]) -> None:
        try:
            for job_id in job_ids:
                for key in list(self._store.list(job_prefix(job_id))):
                    self._store.delete(key)
        except StorageUnavailable as error:
            log.warning("files_left", reason=str(error))
