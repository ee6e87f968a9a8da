"""Advances batches: cancels items, folds counts into the batches' rows, finishes batches whose items have ended.

Any number of processes may do so at once.
"""

from collections.abc import Iterable

from redis import RedisError

from shared import logs
from shared.db.base import Database
from shared.db.batches import counts, items, lifecycle
from shared.messaging.progress import RedisProgress

log = logs.get(__name__)


def advance_batches(database: Database, progress: RedisProgress) -> None:
    """Cancel, count and finish everything that is due, a bounded number of rows in each transaction."""
    with database.reading() as session:
        if not lifecycle.has_work(session):
            return
    while _cancel_some(database, progress):
        _fold(database)
    _fold(database)
    with database.writing("settle") as session:
        settled = lifecycle.end_completed(session)
    for batch_id, state in settled:
        log.info("batch_ended", batch_id=batch_id, state=state)


def _cancel_some(database: Database, progress: RedisProgress) -> int:
    with database.writing("cancel_items") as session:
        count, running = items.cancel_chunk(session)
    hurry_cancels(progress, running)
    return count


def _fold(database: Database) -> None:
    folded = 1
    while folded:
        with database.writing("fold") as session:
            folded = counts.fold(session)


def hurry_cancels(progress: RedisProgress, job_ids: Iterable[str]) -> None:
    """Tell running jobs through Redis that their cancel is requested; without it, workers learn it from the rows."""
    try:
        for job_id in job_ids:
            progress.signal_cancel(job_id)
    except RedisError as error:
        log.warning("cancel_not_hurried", reason=str(error))
