"""What the tests of running jobs share: jobs that can be painted, and wishes that are heard at once."""

import pytest
from sqlalchemy import update

from shared.db.base import Database
from shared.db.jobs import queries
from shared.db.models import Job
from shared.imaging import codec
from shared.states import State
from shared.storage.store import ImageStore, image_key
from tests.support.factories import add_image, add_job, picture
from worker.jobs.context import WorkerContext
from worker.jobs.heartbeat import Heartbeat
from worker.jobs.runner import run


def upload(database: Database, store: ImageStore, data: bytes | None = None) -> str:
    """Add an image with its bytes and return its id."""
    data = data or codec.encode(picture(), format="png")
    image_id = add_image(database, data)
    store.put(image_key(image_id), data)
    return image_id


def queue(database: Database, store: ImageStore, data: bytes | None = None, *, params=(), **values) -> str:
    """Queue a job of six steps that paints a picture like itself; return its id."""
    image_id = upload(database, store, data)
    return add_job(database, image_id=image_id, params={"size": 32, "steps": 6, **dict(params)}, **values)


def run_one(job_id: str, context: WorkerContext) -> State | None:
    """Run one job; None if it was not to be had or its claim was lost."""
    return run([job_id], context).get(job_id)


def load(context: WorkerContext, job_id: str) -> Job:
    with context.database.reading() as session:
        return queries.get_job(session, job_id)


def make_due(database: Database, job_id: str) -> None:
    """Let a retry's pause be over."""
    with database.writing() as session:
        session.execute(update(Job).where(Job.id == job_id).values(retry_at=None))


def every_chunk_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the heartbeat renew at each chunk, so that no test waits for its thread."""
    check = Heartbeat.check

    def renew_first(heartbeat: Heartbeat):
        heartbeat._beat()
        return check(heartbeat)

    monkeypatch.setattr(Heartbeat, "check", renew_first)
