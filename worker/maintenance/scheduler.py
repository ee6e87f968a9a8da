"""Schedules the maintenance tasks, which keep the queue moving and repair what crashes leave behind.

Any number of processes may run them. A loop with one thread per task replaces Celery beat, because leases end and
files are orphaned while Redis is down too, and a task that hangs must not delay the others.

Invariant: no error of a task ends the process or stops another task. One that meets an unexpected error is logged,
marked in `shared.messaging.chores` for the API to show, and run again, less often while that lasts.
"""

import threading
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from shared import logs
from shared.db import workers
from shared.db.admin import minute_stats
from shared.db.base import Database, connect
from shared.db.jobs import sweeps
from shared.errors import AtelierError
from shared.messaging.broker import Broker
from shared.messaging.chores import BrokenTasks
from shared.messaging.dispatch import Dispatcher
from shared.messaging.progress import RedisProgress
from shared.messaging.progress import connect as connect_redis
from shared.settings import Settings
from shared.states import TERMINAL, State
from shared.storage.store import ImageStore, open_store
from worker.maintenance.batches import advance_batches
from worker.maintenance.bulk_actions import advance_bulk_actions
from worker.maintenance.orphans import remove_orphans
from worker.maintenance.retention import Retention
from worker.maintenance.webhooks import WebhookSender

#: Free space that full storage must have again before jobs are dispatched, in bytes.
_ROOM_BYTES = 4 * 2**20
#: Shortest and longest pause after an unexpected error, in seconds; it doubles with each error in a row.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0

log = logs.get(__name__)


class PeriodicTask(NamedTuple):
    """Something to do repeatedly, whatever errors it meets."""

    name: str
    every_s: float
    act: Callable[[], object]

    def repeat(self, ending: threading.Event, broken: BrokenTasks) -> None:
        """Run until `ending` is set.

        An `AtelierError` is logged when its code changes, and the task runs again next time. Any other error is logged
        and marked in `broken` each time, and the task runs again after a pause that grows with each in a row.
        """
        last_code, errors = "", 0
        while not ending.is_set():
            code, pause_s = "", self.every_s
            try:
                self.act()
            except AtelierError as error:
                code = error.code
                if code != last_code:
                    log.warning("maintenance_task_failed", task=self.name, code=code, reason=str(error))
            except Exception as error:  # so that one broken task stops no other
                errors += 1
                code, pause_s = AtelierError.code, self._pause_s(errors)
                log.exception("maintenance_task_broken", task=self.name, errors_in_a_row=errors, retry_in_s=pause_s)
                broken.mark(self.name, type(error).__name__)
            else:
                if errors:
                    log.info("maintenance_task_recovered", task=self.name, errors_in_a_row=errors)
                    broken.clear(self.name)
                errors = 0
            last_code = code
            ending.wait(pause_s)

    def _pause_s(self, errors: int) -> float:
        """Return the pause after the last of so many unexpected errors in a row."""
        return max(self.every_s, min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * (1 << min(errors - 1, 10))))


class MaintenanceLoop:
    """The maintenance tasks and what they use."""

    def __init__(self, settings: Settings, database: Database, store: ImageStore) -> None:
        self._settings = settings
        self._database = database
        self._store = store
        redis = connect_redis(settings.redis_url)
        self.broken = BrokenTasks(redis)
        self._progress = RedisProgress(redis)
        self._dispatcher = Dispatcher(database, Broker(settings), settings)
        self._webhooks = WebhookSender(database, settings.webhook_networks, public_url=settings.public_url)
        self._retention = Retention(settings, database, store)

    def tasks(self) -> list[PeriodicTask]:
        """List the tasks and how often each runs."""
        stored = self._settings.stored_bytes or None
        bulk_actions = partial(advance_bulk_actions, self._database, self._store, self._progress, stored=stored)
        return [
            PeriodicTask("dispatch", 1.0, self._dispatcher.run),
            PeriodicTask("end_leases", 1.0, self.end_leases),
            PeriodicTask("expire", 1.0, self.expire),
            PeriodicTask("release_queue", 2.0, self.release_queue),
            PeriodicTask("batches", 0.5, partial(advance_batches, self._database, self._progress)),
            PeriodicTask("bulk_actions", 0.5, bulk_actions),
            PeriodicTask("webhooks", 0.5, self._webhooks.run),
            PeriodicTask("expire_files", 10.0, self._retention.expire_files),
            PeriodicTask("expire_images", 60.0, self._retention.expire_images),
            PeriodicTask("delete_old_rows", 10.0, self._retention.delete_old_rows),
            PeriodicTask("minute_stats", 20.0, self.store_minute_stats),
            PeriodicTask("orphans", self._settings.orphan_sweep_s, self.remove_orphans),
        ]

    def end_leases(self) -> None:
        """Take jobs from workers that no longer renew their leases, and dispatch them again."""
        with self._database.writing("end_leases") as session:
            moved = sweeps.end_leases(session)
        for job_id, state in moved:
            log.warning("lease_ended", job_id=job_id, state=state)
            if state in TERMINAL:
                self._progress.ended([job_id], state)
        if moved:
            self._dispatcher.run()

    def expire(self) -> None:
        """Expire jobs that did not start by their deadline."""
        with self._database.writing("expire") as session:
            expired = sweeps.expire(session)
        for job_id in expired:
            log.info("job_expired", job_id=job_id)
        self._progress.ended(expired, State.EXPIRED)

    def release_queue(self) -> None:
        """Dispatch jobs again once storage that was full accepts a file."""
        with self._database.reading() as session:
            held_for = workers.get_queue(session).held_for
        if held_for is None:
            return
        self._store.check(_ROOM_BYTES)
        with self._database.writing("unhold") as session:
            workers.hold_queue(session, None)
        log.info("queue_released", held_for=held_for)

    def store_minute_stats(self) -> None:
        """Store this minute's sample of the system's state."""
        with self._database.reading() as session:
            stats = minute_stats.sample(session)
        with self._database.writing("readings") as session:
            minute_stats.store(session, stats)

    def remove_orphans(self) -> None:
        """Delete files that no row names."""
        removed = remove_orphans(self._database, self._store, older_than_s=self._settings.orphan_age_s)
        if removed:
            log.info("orphans_removed", count=removed)


def run(settings: Settings, ending: threading.Event) -> int:
    """Run the tasks until `ending` is set; return the exit code: 1 if a thread of theirs died all the same, else 0."""
    loop = MaintenanceLoop(settings, connect(settings.database_url), open_store(settings.storage_url))
    died = threading.Event()

    def repeat(task: PeriodicTask) -> None:
        try:
            task.repeat(ending, loop.broken)
        finally:  # the process ends, to be started again, rather than go on without one of its tasks
            if not ending.is_set():
                died.set()
                ending.set()

    for task in loop.tasks():
        threading.Thread(target=repeat, args=(task,), name=task.name, daemon=True).start()
    log.info("maintenance_ready")
    ending.wait()
    return int(died.is_set())
