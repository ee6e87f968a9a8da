"""The `atelier` command called in this process, and a worker beside it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from click.testing import Result
from PIL import Image

from shared.db.jobs import queries
from shared.states import State
from worker.jobs.context import WorkerContext
from worker.jobs.runner import run
from worker.maintenance.batches import advance_batches

Atelier = Callable[..., Result]


def format_of(path: Path) -> str | None:
    with Image.open(path) as picture:
        return picture.format


@contextmanager
def painting(context: WorkerContext) -> Iterator[None]:
    """Paint whatever is queued and end batches, as a worker and maintenance would."""
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(0.02):
            with context.database.reading() as session:
                queued = [job.id for job in queries.list_jobs(session, queries.Filter([State.QUEUED]), limit=10)]
            for job_id in queued:
                run([job_id], context)
            advance_batches(context.database, context.progress)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def submitted(atelier: Atelier, photo: Path, *options: str) -> str:
    result = atelier("submit", photo, photo, "--no-wait", *options)
    assert result.exit_code == 0, result.output
    return result.stdout.strip()
