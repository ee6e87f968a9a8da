"""The worker's description in its database row: weights, device, capacity, cached styles, memory.

The child writes it, since only the child has the painter; the parent's watchdog keeps the row's heartbeat. If the row
was deleted, or the database was away, the description is written again within seconds.

Invariant: only the painting thread asks the painter, between two messages, except for its memory, which any thread
may read. A thread of its own writes the row, so no message waits for the database.
"""

import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from shared import logs
from shared.db import workers
from shared.db.base import Database
from shared.errors import DatabaseUnavailable
from worker.jobs.painter import Painter

#: Time between two comparisons with the row, in seconds.
_EVERY_S = 5.0
#: Memory is rounded down to this many bytes, so that small changes do not rewrite the row.
_MEMORY_UNIT = 2**24

log = logs.get(__name__)


class WorkerRegistration:
    """Keeps one worker's description up to date."""

    def __init__(
        self, name: str, database: Database, painter: Painter, warm_styles: Callable[[], Sequence[str]] = tuple
    ) -> None:
        """Describe the worker `name`, whose cached style images `warm_styles` lists; nothing is written yet."""
        self._name = name
        self._database = database
        self._painter = painter
        self._warm_styles = warm_styles
        self._about: dict[str, Any] = {}
        self.refresh()

    def refresh(self) -> None:
        """Read the painter again; the row follows within `_EVERY_S`."""
        self._about = {
            "process": os.getpid(),
            "weights": dict(self._painter.weights),
            "device": dict(self._painter.device),
            "capacity": self._painter.capacity.model_dump(mode="json"),
            "warm_styles": list(self._warm_styles()),
        }

    def start(self) -> None:
        """Write the row now, creating it if needed, then keep it current from a thread until the process ends."""
        try:
            with self._database.writing("beat") as session:
                workers.record_heartbeat(session, self._name, self._current())
        except DatabaseUnavailable as error:
            log.warning("worker_not_registered", worker=self._name, code=error.code)
        threading.Thread(target=self._repeat, name="registration", daemon=True).start()

    def update(self) -> None:
        """Write the description if the row has another one; skip this time if the database is away."""
        about = self._current()
        try:
            with self._database.reading() as session:
                known = workers.get_description(session, self._name)
            if known != about:
                with self._database.writing("about") as session:
                    workers.set_description(session, self._name, about)
        except DatabaseUnavailable:  # the watchdog logs the outage
            return

    def _current(self) -> dict[str, Any]:
        memory = {name: count // _MEMORY_UNIT * _MEMORY_UNIT for name, count in self._painter.memory.items()}
        return {**self._about, "memory": memory}

    def _repeat(self) -> None:
        while True:
            time.sleep(_EVERY_S)
            self.update()
