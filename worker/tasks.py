"""The one Celery task, which runs the jobs of a message. Messages carry job ids only.

`shared=False` keeps the task off every other Celery app in the process.
"""

from shared.messaging.broker import PAINT
from worker import app as process
from worker.jobs.runner import run


@process.app.task(name=PAINT, shared=False)
def paint(job_ids: list[str]) -> None:
    """Run the jobs of one message, then ask for the next."""
    try:
        run(job_ids, process.context())
    finally:  # even after an error of ours, whose message is not sent again: dispatch sends its jobs
        process.message_done()
