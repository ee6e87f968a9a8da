"""Deletes what has been kept long enough: files of ended jobs, bytes of unused images, old rows.

Rows change first and files go after the commit; the orphan search deletes those that could not be deleted here. Each
call does a bounded amount of work, and the next one continues.

Invariant: no file goes while an unended job needs it, and no image's bytes while an upload restores that image.
"""

from collections.abc import Iterable

from shared import logs
from shared.db import deliveries, images, stored_bytes
from shared.db.access import browser_sessions, idempotency
from shared.db.admin import audit, bulk_actions, minute_stats
from shared.db.base import Database
from shared.db.batches import lifecycle
from shared.db.jobs import sweeps
from shared.errors import StorageUnavailable
from shared.settings import Settings
from shared.storage.store import ImageStore, image_key, job_prefix

#: A worker without a heartbeat for this long is deleted, in seconds.
_FORGET_WORKERS_S = 3600.0
#: Image rows deleted in one round, each in its own transaction because each takes long.
_IMAGES_A_ROUND = 5

log = logs.get(__name__)


class Retention:
    """Applies the retention periods of the settings."""

    def __init__(self, settings: Settings, database: Database, store: ImageStore) -> None:
        self._settings = settings
        self._database = database
        self._store = store

    def expire_files(self) -> None:
        """Delete the files of jobs past their retention."""
        with self._database.writing("expire_files") as session:
            expired = sweeps.expire_files(session)
        if expired:
            log.info("files_expired", jobs=len(expired))
        delete_job_files(self._store, expired)

    def expire_images(self) -> None:
        """Delete the bytes of unused images."""
        with self._database.writing("expire_images") as session:
            expired = images.expire(session, retention_s=self._settings.retention_s)
        if expired:
            log.info("images_expired", images=len(expired))
        try:
            for image_id in expired:
                delete_image_bytes(self._database, self._store, image_id)
        except StorageUnavailable as error:
            log.warning("files_left", reason=str(error))

    def delete_old_rows(self) -> None:
        """Delete rows past their history period, and fold those that only add up."""
        with self._database.writing("forget") as session:
            forgotten = sweeps.forget_jobs(session, history_s=self._settings.history_s)
            lifecycle.forget(session, history_s=self._settings.history_s)
            sweeps.forget_workers(session, unseen_s=_FORGET_WORKERS_S)
            sweeps.forget_usage(session)
            deliveries.forget(session, sweeps.ROWS_AT_ONCE)
            audit.forget(session, sweeps.ROWS_AT_ONCE)
            bulk_actions.forget(session, sweeps.ROWS_AT_ONCE)
            idempotency.forget(session, sweeps.ROWS_AT_ONCE)
            browser_sessions.forget_expired(session)
            minute_stats.forget(session)
            stored_bytes.fold(session)
        for _ in range(_IMAGES_A_ROUND):
            with self._database.writing("forget_images") as session:
                if not images.forget(session, history_s=self._settings.history_s):
                    break
        if forgotten:
            log.info("jobs_forgotten", count=len(forgotten))


def delete_job_files(store: ImageStore, job_ids: Iterable[str]) -> None:
    """Delete all files of jobs; those that cannot be deleted now are left to the orphan search."""
    try:
        for job_id in job_ids:
            for key in list(store.list(job_prefix(job_id))):
                store.delete(key)
    except StorageUnavailable as error:
        log.warning("files_left", reason=str(error))


def delete_image_bytes(database: Database, store: ImageStore, image_id: str) -> bool:
    """Delete an image's bytes unless its row keeps them; tell whether they may be gone.

    The transaction waits for storage, because what the row says must hold until the bytes are gone.
    """
    with database.writing("remove_bytes") as session:
        may_go = images.can_remove_bytes(session, image_id)
        if may_go:
            store.delete(image_key(image_id))
    return may_go
