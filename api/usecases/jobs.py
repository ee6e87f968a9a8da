"""What a client can do: upload, cancel; and an operator: instruct a worker, pause the queue. No HTTP here.

Submitting has a file of its own, `api.jobs.submit`.

Invariant: a job's row is committed before anybody is told of it, and no request waits for Redis.
"""

from __future__ import annotations

from redis import RedisError

from api.access import Caller
from api.services import Services
from shared import logs
from shared.db.admin import audit
from shared.db.jobs import queries, transitions
from shared.errors import StorageUnavailable
from shared.states import State
from shared.storage.store import job_prefix

log = logs.get(__name__)


def cancel(services: Services, job_id: str, caller: Caller) -> State:
    """Cancel a queued job at once, ask a running one to stop; return its state now."""
    with services.database.writing("cancel") as session:
        job = queries.get_job(session, job_id, owner=caller.sees)
        is_first = job.cancel_requested_at is None
        state = transitions.request_cancel(session, job_id)
        if is_first:
            audit.record(session, caller, "job.cancel", job_id)
    log.info("cancel_requested", job_id=job_id, state=state)
    if state == State.RUNNING:
        try:
            services.progress.signal_cancel(job_id)
        except RedisError as error:
            log.warning("cancel_not_hurried", job_id=job_id, reason=str(error))  # the row holds the wish
    return state


def delete(services: Services, job_id: str, caller: Caller) -> None:
    """Forget an ended job and its files; raise `NotFound`, or `IllegalTransition` if it has not ended."""
    with services.database.writing("delete") as session:
        queries.get_job(session, job_id, owner=caller.sees)
        transitions.remove(session, job_id)
        audit.record(session, caller, "job.delete", job_id)
    log.info("job_deleted", job_id=job_id)
    try:
        for key in list(services.store.list(job_prefix(job_id))):
            services.store.delete(key)
    except StorageUnavailable as error:  # the sweep for files without a row comes by
        log.warning("files_left", job_id=job_id, reason=str(error))
