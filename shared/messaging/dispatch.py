"""Dispatch: the backlog stays in the database, and only a small window of it is published to the broker.

`shared.db.jobs.dispatch_order` chooses the jobs. Rows are locked while they are chosen (`SKIP LOCKED` on PostgreSQL,
one writer on SQLite), so any number of dispatchers may run at once; messages are published after the commit.

The broker's depth says how many messages fit. A job that was sent but not claimed within `redispatch_after_s` is sent
again, but only into a free window: a lost message costs seconds, and a busy fleet never accumulates duplicates.
Messages of batches are read last and do not take space from other jobs, so a single job waits only for pictures that
are already being painted. Before both, workers read what is first in line: an owner who has nothing running while
others have waits for no messages of theirs, be its next job single or an item.

Invariant: a lost, repeated or stray message does no harm, because a worker paints only what it can claim.
"""

import threading

from shared import logs
from shared.db import workers
from shared.db.base import Database
from shared.db.jobs import dispatch_order
from shared.errors import BrokerUnavailable, DatabaseUnavailable
from shared.messaging.broker import Broker
from shared.settings import Settings

log = logs.get(__name__)


class Dispatcher:
    """Publishes queued jobs until the broker's window is full."""

    def __init__(self, database: Database, messages: Broker, settings: Settings) -> None:
        """Keep what is needed; nothing is connected yet."""
        self._database = database
        self._messages = messages
        self._per_worker = settings.messages_per_worker
        self._redispatch_after_s = settings.redispatch_after_s
        self._nudged = threading.Event()
        self._lock = threading.Lock()
        self._nudger: threading.Thread | None = None

    def run(self) -> int:
        """Publish the next queued jobs until the window is full; return how many were sent.

        Raises `BrokerUnavailable` or `DatabaseUnavailable`.
        """
        depth = self._messages.get_depth()
        with self._database.writing("dispatch") as session:
            window = self._per_worker * max(1, workers.count_accepting(session))
            capacity = dispatch_order.Capacity(
                first=window - depth.first,
                single=window - depth.first - depth.single,
                batched=window - depth.first - depth.single - depth.batched,
            )
            chosen = dispatch_order.choose(session, capacity, self._redispatch_after_s)
        send = self._messages.send_paint
        refused = [message for message in chosen if not send(message.job_ids, message.rank)]
        unsent = [job_id for message in refused for job_id in message.job_ids]
        if unsent:
            with self._database.writing("unsend") as session:
                dispatch_order.mark_dispatched(session, unsent, None)
        sent = sum(len(message.job_ids) for message in chosen) - len(unsent)
        if chosen:
            log.info("jobs_dispatched", sent=sent, unsent=len(unsent), messages=len(chosen))
        return sent

    def nudge(self) -> None:
        """Dispatch soon, in a background thread; return at once, whatever Redis does.

        Nudges that arrive together cause one run. The maintenance process dispatches every second anyway, so an
        error here only delays a job.
        """
        self._nudged.set()
        with self._lock:
            if self._nudger is None:
                self._nudger = threading.Thread(target=self._run_when_nudged, name="nudger", daemon=True)
                self._nudger.start()

    def _run_when_nudged(self) -> None:
        last_code = ""
        while self._nudged.wait():
            self._nudged.clear()
            try:
                self.run()
                last_code = ""
            except (BrokerUnavailable, DatabaseUnavailable) as error:
                if error.code != last_code:
                    log.warning("dispatch_failed", code=error.code, reason=str(error))
                last_code = error.code
