"""The bodies of the Celery tasks, a few lines each. A task is Celery's word; the work is a job.

`shared=False` keeps each task off every other Celery app in the process. Messages carry job ids only.
"""

from __future__ import annotations

from shared.messaging.broker import PAINT
from worker import app as process
from worker.jobs.runner import run


@process.app.task(name=PAINT, shared=False)
def paint(job_ids: list[str]) -> None:
    """Run the jobs of one message, then make room for the next."""
    run(job_ids, process.studio())
    process.message_done()
