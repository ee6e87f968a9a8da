"""Which jobs go next: the backlog is in the database, and only a small window of it in the broker.

Whose turn it is, `shared.db.jobs.dispatch_order` says. Rows are locked while they are chosen (`SKIP LOCKED` on
PostgreSQL, one writer on SQLite), so any number of dispatchers may run at once; messages are sent after the commit.

The broker itself says how much room there is: a job sent long ago and still unclaimed is sent again only into
a window that has emptied. So a lost message costs seconds, and a busy fleet never piles up repeats. Messages of batches
leave the window to other jobs' as if they were not there, and are read after them: whoever waits for one picture waits
only for those that are being painted.

Invariant: a queued job is always unsent, or sent less than `redispatch_after_s` ago, or behind a full window. A
message lost, repeated or stray does no harm: the claim decides.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from shared import logs
from shared.db import workers
from shared.db.base import Database
from shared.db.jobs import dispatch_order
from shared.errors import BrokerUnavailable, DatabaseUnavailable
from shared.settings import Settings

log = logs.get(__name__)


class Waiting(NamedTuple):
    """How many messages wait in the broker: of jobs in no batch, and of batches' items."""

    single: int
    batched: int


class Messages(Protocol):
    """The queue of messages to the painting workers."""

    def waiting(self) -> Waiting:
        """Return how many wait there; raise `BrokerUnavailable`."""

    def send_paint(self, job_ids: Sequence[str], *, batched: bool = False) -> bool:
        """Send jobs to be painted in one message, behind all others if `batched`; say whether it was taken."""


class Dispatcher:
    """Fills the broker's window from the backlog."""

    def __init__(self, database: Database, messages: Messages, settings: Settings) -> None:
        """Prepare to dispatch; nothing is connected yet."""
        self._database = database
        self._messages = messages
        self._per_worker = settings.messages_per_worker
        self._redispatch_after_s = settings.redispatch_after_s
        self._nudged = threading.Event()
        self._lock = threading.Lock()
        self._nudger: threading.Thread | None = None

    def run(self) -> int:
        """Send the next queued jobs until the window is full of messages; return how many jobs were sent.

        Raises `BrokerUnavailable` or `DatabaseUnavailable`.
        """
        waiting = self._messages.waiting()
        with self._database.writing("dispatch") as session:
            window = self._per_worker * max(1, workers.count_accepting(session))
            room = dispatch_order.Room(window - waiting.single, window - waiting.single - waiting.batched)
            chosen = dispatch_order.choose(session, room, self._redispatch_after_s)
        send = self._messages.send_paint
        refused = [message for message in chosen if not send(message.job_ids, batched=message.batched)]
        unsent = [job_id for message in refused for job_id in message.job_ids]
        if unsent:
            with self._database.writing("unsend") as session:
                dispatch_order.mark_dispatched(session, unsent, None)
        sent = sum(len(message.job_ids) for message in chosen) - len(unsent)
        if chosen:
            log.info("jobs_dispatched", sent=sent, unsent=len(unsent), messages=len(chosen))
        return sent

    def nudge(self) -> None:
        """Have the backlog looked at now; return at once, whatever Redis does.

        A thread does the work, and many nudges at a time are one. What goes wrong is made good by the
        maintenance process within a second.
        """
        self._nudged.set()
        with self._lock:
            if self._nudger is None:
                self._nudger = threading.Thread(target=self._run_when_nudged, name="nudger", daemon=True)
                self._nudger.start()

    def _run_when_nudged(self) -> None:
        trouble = ""
        while self._nudged.wait():
            self._nudged.clear()
            try:
                self.run()
                trouble = ""
            except (BrokerUnavailable, DatabaseUnavailable) as error:
                if error.code != trouble:
                    log.warning("dispatch_failed", code=error.code, reason=str(error))
                trouble = error.code
