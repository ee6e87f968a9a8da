"""The chores that keep the queue moving and put right what crashes leave; any number of processes may do them.

A loop in this process, a thread for each chore, rather than tasks of Celery's: leases end and files are orphaned
while Redis is away too, and a chore that hangs must not hold up the others.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

from shared import logs
from shared.db import workers
from shared.db.admin import minute_stats
from shared.db.base import Database, connect
from shared.db.jobs import sweeps
from shared.errors import AtelierError
from shared.messaging.broker import Broker
from shared.messaging.dispatch import Dispatcher
from shared.messaging.progress import RedisProgress
from shared.messaging.progress import connect as connect_redis
from shared.settings import Settings
from shared.states import TERMINAL, State
from shared.storage.store import ImageStore, open_store
from worker.maintenance.batches import BatchKeeper
from worker.maintenance.bulk_actions import OperationKeeper
from worker.maintenance.orphans import remove_orphans
from worker.maintenance.retention import Expiry
from worker.maintenance.webhooks import Deliverer

#: Room that full storage must have again before jobs are sent, in bytes.
_ROOM_BYTES = 4 * 2**20

log = logs.get(__name__)


class Chore(NamedTuple):
    """Something done again and again; what it raises is logged, and the next time may go better."""

    name: str
    every_s: float
    act: Callable[[], object]

    def repeat(self, ending: threading.Event) -> None:
        """Do it until the end; a trouble that lasts is logged once."""
        trouble = ""
        while not ending.is_set():
            try:
                self.act()
            except AtelierError as error:
                if error.code != trouble:
                    log.warning("chore_failed", chore=self.name, code=error.code, reason=str(error))
                trouble = error.code
            else:
                trouble = ""
            ending.wait(self.every_s)


class Keeper:
    """What the chores need, and the chores."""

    def __init__(self, settings: Settings, database: Database, store: ImageStore) -> None:
        """Open nothing yet."""
        self._settings = settings
        self._database = database
        self._store = store
        self._progress = RedisProgress(connect_redis(settings.redis_url))
        self._dispatcher = Dispatcher(database, Broker(settings), settings)
        self._deliverer = Deliverer(database, settings.webhook_networks)
        self._batches = BatchKeeper(database, self._progress)
        self._operations = OperationKeeper(database, store, self._progress)
        self._expiry = Expiry(settings, database, store)

    def chores(self) -> list[Chore]:
        """List the chores and how often each is due."""
        return [
            Chore("dispatch", 1.0, self._dispatcher.run),
            Chore("end_leases", 1.0, self.end_leases),
            Chore("expire", 1.0, self.expire),
            Chore("unhold", 2.0, self.unhold),
            Chore("batches", 0.5, self._batches.run),
            Chore("operations", 0.5, self._operations.run),
            Chore("deliver", 0.5, self._deliverer.run),
            Chore("expire_files", 10.0, self._expiry.files),
            Chore("expire_images", 60.0, self._expiry.images),
            Chore("forget", 10.0, self._expiry.forget),
            Chore("readings", 20.0, self.take_reading),
            Chore("orphans", self._settings.orphan_sweep_s, self.remove_orphans),
        ]

    def end_leases(self) -> None:
        """Take jobs from workers that no longer renew."""
        with self._database.writing("end_leases") as session:
            moved = sweeps.end_leases(session)
        for job_id, state in moved:
            log.warning("lease_ended", job_id=job_id, state=state)
            if state in TERMINAL:
                self._progress.ended([job_id], state)
        if moved:
            self._dispatcher.run()

    def expire(self) -> None:
        """End jobs that missed their deadline."""
        with self._database.writing("expire") as session:
            expired = sweeps.expire(session)
        for job_id in expired:
            log.info("job_expired", job_id=job_id)
        self._progress.ended(expired, State.EXPIRED)

    def unhold(self) -> None:
        """Send jobs again once storage that was full takes a file."""
        with self._database.reading() as session:
            held_for = workers.get_queue(session).held_for
        if held_for is None:
            return
        self._store.check(_ROOM_BYTES)
        with self._database.writing("unhold") as session:
            workers.hold_queue(session, None)
        log.info("queue_released", held_for=held_for)

    def take_reading(self) -> None:
        """Write how the system is in this minute."""
        with self._database.reading() as session:
            found = minute_stats.sample(session)
        with self._database.writing("readings") as session:
            minute_stats.store(session, found)

    def remove_orphans(self) -> None:
        """Remove files that no row names."""
        removed = remove_orphans(self._database, self._store, older_than_s=self._settings.orphan_age_s)
        if removed:
            log.info("orphans_removed", count=removed)


def run(settings: Settings, ending: threading.Event) -> int:
    """Do the chores until `ending` is set; return the exit code, 1 if a chore broke in a way nobody foresaw."""
    keeper = Keeper(settings, connect(settings.database_url), open_store(settings.storage_url))
    broken = threading.Event()

    def repeat(chore: Chore) -> None:
        try:
            chore.repeat(ending)
        finally:
            if not ending.is_set():
                broken.set()
                ending.set()

    for chore in keeper.chores():
        threading.Thread(target=repeat, args=(chore,), name=chore.name, daemon=True).start()
    log.info("maintenance_ready")
    ending.wait()
    return int(broken.is_set())
