"""Canceling and deleting jobs; submitting is in `api.jobs.submit`.

Invariant: a job's row is committed before any process is notified of it, and no request waits for Redis.
"""

from redis import RedisError

from api.access import Caller
from shared import logs
from shared.db.admin import audit
from shared.db.base import Database
from shared.db.jobs import queries, transitions
from shared.errors import StorageUnavailable
from shared.messaging.progress import RedisProgress
from shared.states import State
from shared.storage.store import ImageStore, job_prefix

log = logs.get(__name__)


def cancel(database: Database, progress: RedisProgress, job_id: str, caller: Caller) -> None:
    """Cancel a queued job at once, or ask a running one to stop; raise `NotFound` or `IllegalTransition`."""
    with database.writing("cancel") as session:
        job = queries.get_job(session, job_id, owner=caller.sees)
        is_first = job.cancel_requested_at is None
        state = transitions.request_cancel(session, job_id)
        if is_first:
            audit.record(session, caller, "job.cancel", job_id)
    log.info("cancel_requested", job_id=job_id, state=state)
    if state == State.RUNNING:
        try:
            progress.signal_cancel(job_id)
        except RedisError as error:
            log.warning("cancel_not_hurried", job_id=job_id, reason=str(error))  # the worker also reads the row


def delete(database: Database, store: ImageStore, job_id: str, caller: Caller) -> None:
    """Delete an ended job and its files; raise `NotFound`, or `IllegalTransition` if it has not ended."""
    with database.writing("delete") as session:
        queries.get_job(session, job_id, owner=caller.sees)
        transitions.remove(session, job_id)
        audit.record(session, caller, "job.delete", job_id)
    log.info("job_deleted", job_id=job_id)
    try:
        for key in list(store.list(job_prefix(job_id))):
            store.delete(key)
    except StorageUnavailable as error:  # maintenance removes files without a row
        log.warning("files_left", job_id=job_id, reason=str(error))
