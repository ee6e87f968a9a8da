"""What has been kept long enough: files of ended jobs, bytes of images that nobody uses, rows that nobody asks for.

Rows change first; files go after the commit, and those that could not be deleted go with the search for orphans. Each
step does a bounded amount; the next one goes on.

Invariant: no file goes that an unended job needs, and no image's bytes while an upload brings that image back.
"""

from __future__ import annotations

from shared import logs
from shared.db import deliveries, images
from shared.db.access import browser_sessions, idempotency
from shared.db.admin import audit, bulk_actions, minute_stats
from shared.db.base import Database
from shared.db.batches import lifecycle
from shared.db.jobs import sweeps
from shared.errors import StorageUnavailable
from shared.settings import Settings
from shared.storage.store import ImageStore, image_key, job_prefix

#: A worker unheard of for this long is forgotten, in seconds.
_FORGET_WORKERS_S = 3600.0
#: Rows of images that are forgotten in one round, each in a transaction of its own, since each takes long.
_IMAGES_A_ROUND = 5

log = logs.get(__name__)


class Expiry:
    """Has things go when their time has come."""

    def __init__(self, settings: Settings, database: Database, store: ImageStore) -> None:
        """Open nothing."""
        self._settings = settings
        self._database = database
        self._store = store

    def files(self) -> None:
        """Delete the files of jobs past their retention."""
        with self._database.writing("expire_files") as session:
            expired = sweeps.expire_files(session)
        if expired:
            log.info("files_expired", jobs=len(expired))
        try:
            for job_id in expired:
                for key in list(self._store.list(job_prefix(job_id))):
                    self._store.delete(key)
        except StorageUnavailable as error:
            log.warning("files_left", reason=str(error))

    def images(self) -> None:
        """Delete the bytes of images that nobody uses."""
        with self._database.writing("expire_images") as session:
            expired = images.expire(session, retention_s=self._settings.retention_s)
        if expired:
            log.info("images_expired", images=len(expired))
        try:
            for image_id in expired:
                remove_bytes(self._database, self._store, image_id)
        except StorageUnavailable as error:
            log.warning("files_left", reason=str(error))

    def forget(self) -> None:
        """Delete rows that nobody asks for any more."""
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
        for _ in range(_IMAGES_A_ROUND):
            with self._database.writing("forget_images") as session:
                if not images.forget(session, history_s=self._settings.history_s):
                    break
        if forgotten:
            log.info("jobs_forgotten", count=len(forgotten))


def remove_bytes(database: Database, store: ImageStore, image_id: str) -> bool:
    """Delete an image's bytes unless its row says that they are kept; say whether they may have gone.

    The transaction waits for the storage, as none else does: what the row says must hold until the bytes are gone.
    """
    with database.writing("remove_bytes") as session:
        may_go = images.can_remove_bytes(session, image_id)
        if may_go:
            store.delete(image_key(image_id))
    return may_go
