"""Deletes files that no row names: unfinished writes, results of lost attempts, and files that outlived their job.

A file goes only if it is old and the rows, read after the file was listed, do not name it. Whoever stores a file
writes its row well within that age.
"""

from collections.abc import Iterable, Iterator
from itertools import islice

from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.db.base import Database
from shared.db.models import Image, Job
from shared.states import State
from shared.storage.store import ImageStore
from worker.maintenance.retention import delete_image_bytes

#: Files looked up in one transaction.
_AT_ONCE = 200


def remove_orphans(database: Database, store: ImageStore, *, older_than_s: float) -> int:
    """Delete orphaned files older than `older_than_s`; return how many."""
    removed = store.discard_unfinished(older_than_s)
    for keys in _in_groups(store.old(older_than_s)):
        with database.reading() as session:
            images, others = _unkept_images(session, keys), _orphans(session, keys)
        for key in others:
            store.delete(key)
        removed += len(others) + sum(delete_image_bytes(database, store, image_id) for image_id in images)
    return removed


def _unkept_images(session: Session, keys: list[str]) -> list[str]:
    """Return the images among `keys` that no row keeps at the moment; one may be being uploaded again."""
    found = [f"sha256:{key.rpartition('/')[2]}" for key in keys if key.startswith("images/")]
    kept = set(session.scalars(select(Image.id).where(Image.id.in_(found), Image.gone_at.is_(None))))
    return [image_id for image_id in found if image_id not in kept]


def _orphans(session: Session, keys: list[str]) -> list[str]:
    """Return the files among `keys`, other than images, that no job needs."""
    files = [key for key in keys if key.startswith("jobs/")]
    jobs = {job.id: job for job in session.scalars(select(Job).where(Job.id.in_({_job_of(key) for key in files})))}
    orphans = [key for key in files if not _is_needed(key, jobs.get(_job_of(key)))]
    return orphans + [key for key in keys if key.startswith("probe/")]


def _is_needed(key: str, job: Job | None) -> bool:
    """Tell whether the job's row names the file, or its running attempt may still do so."""
    if job is None:
        return False
    named = {*(job.result or {}).values(), *(job.checkpoint or {}).values()}
    running = job.state == State.RUNNING and key.startswith(f"jobs/{job.id}/{job.attempt}/")
    return key in named or running


def _job_of(key: str) -> str:
    return key.split("/")[1]


def _in_groups(keys: Iterable[str]) -> Iterator[list[str]]:
    remaining = iter(keys)
    while group := list(islice(remaining, _AT_ONCE)):
        yield group
