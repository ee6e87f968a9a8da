"""Reuses an identical earlier result: its files are copied, and nothing is painted.

The job's work key covers everything that determines the picture except the weights, which must be this worker's.

Invariant: the copies are the job's own, under its own attempt, so neither job's expiry touches the other's files.
"""

import json

from shared import logs
from shared.db.base import Database
from shared.db.jobs import queries
from shared.db.models import Job
from shared.errors import NotFound
from shared.painting.results import FILE_NAMES, FileKey, Result, facts_of, with_files
from shared.states import State
from shared.storage.store import ImageStore
from worker.jobs.artifacts import keys_for
from worker.jobs.outcome import Outcome

log = logs.get(__name__)


def copy_cached_result(job: Job, database: Database, store: ImageStore, *, weights_sha256: str) -> Outcome | None:
    """Copy an identical result of the same owner's as this job's outcome; None if there is none, or reuse is refused.

    Raises `StorageFull` or `StorageUnavailable`.
    """
    if not job.reuse or job.work_key is None:
        return None
    with database.reading() as session:
        earlier = queries.find_equal_results(session, job)
    for found in earlier:
        if found.result and found.weights and found.weights.get("sha256") == weights_sha256:
            try:
                result = _copy(found.id, found.result, job, store)
            except NotFound:  # deleted since its row was read, or lost
                log.info("reuse_missed", reused_from=found.id)
                continue
            log.info("result_reused", reused_from=found.id)
            return Outcome(State.SUCCEEDED, result, reused_from=found.id)
    return None


def _copy(found_id: str, found: Result, job: Job, store: ImageStore) -> Result:
    files: dict[FileKey, bytes] = {name: store.get(found[name]) for name in FILE_NAMES if name in found}
    manifest = {**json.loads(files["manifest_key"]), "job": job.id, "attempt": job.attempt}
    files["manifest_key"] = json.dumps(manifest | {"reused_from": found_id}, indent=2).encode()
    keys = keys_for(job, files)
    store.put_all({keys[name]: data for name, data in files.items()})
    return with_files(facts_of(found), keys)
