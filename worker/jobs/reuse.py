"""Takes over a picture that was painted before in just the same way: its files are copied, and nothing is painted.

The weights must be those that this worker paints with; all else that decides a picture is in the work key.

Invariant: the files are the job's own, under its own attempt, so that neither job's end or expiry touches the other's.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from shared import logs
from shared.db.jobs import queries
from shared.db.models import Job
from shared.errors import NotFound
from shared.storage.store import ImageStore, attempt_key
from worker.jobs.artifacts import FILES
from worker.jobs.context import Studio

log = logs.get(__name__)


class Taken(NamedTuple):
    """What was taken over: the result with keys of the job's own, and whose it was."""

    result: dict[str, Any]
    job_id: str


def take_over(job: Job, studio: Studio) -> Taken | None:
    """Copy the files of an earlier job of the same owner's; None if there is none, or `job` is to be painted anyway.

    Raises `StorageFull` or `StorageUnavailable`.
    """
    if not job.reuse or job.work_key is None:
        return None
    with studio.database.reading() as session:
        earlier = queries.find_equal_results(session, job)
    for found in earlier:
        if found.weights and found.weights.get("sha256") == studio.painter.weights["sha256"]:
            try:
                result = _copied(found, job, studio.store)
            except NotFound:  # deleted since its row was read, or lost
                log.info("reuse_missed", reused_from=found.id)
                continue
            log.info("picture_reused", reused_from=found.id)
            return Taken(result, found.id)
    return None


def _copied(found: Job, job: Job, store: ImageStore) -> dict[str, Any]:
    result = dict(found.result or {})
    files = {name: store.get(result[name]) for name in FILES if name in result}
    manifest = {**json.loads(files["manifest_key"]), "job": job.id, "attempt": job.attempt}
    files["manifest_key"] = json.dumps(manifest | {"reused_from": found.id}, indent=2).encode()
    keys = {name: attempt_key(job.id, job.attempt, FILES[name]) for name in files}
    store.put_all({keys[name]: data for name, data in files.items()})
    return {**result, **keys}
