"""Keeps the worker's row saying what its painter is and can do: weights, device, and capacity, which it learns.

Said by the child, which alone has the painter; that the worker lives is said by its parent. A row that does not know
it, because the database was away or the row was forgotten meanwhile, is told within seconds.

Invariant: the painter is asked only between two messages, by the thread that paints; the row is written by another,
so that no message waits for a database that is away.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Any

from shared import logs
from shared.db import workers
from shared.db.base import Database
from shared.errors import DatabaseUnavailable
from worker.painter import Painter

#: Time between two looks at the row, in seconds.
_EVERY_S = 5.0

log = logs.get(__name__)


class Announcer:
    """What one worker says of its painter."""

    def __init__(self, name: str, database: Database, painter: Painter) -> None:
        """Speak for the worker `name`; nothing is written yet."""
        self._name = name
        self._database = database
        self._painter = painter
        self._about: dict[str, Any] = {}
        self.refresh()

    def refresh(self) -> None:
        """Ask the painter again; the row is told a few seconds later."""
        self._about = {
            "process": os.getpid(),
            "weights": dict(self._painter.weights),
            "device": dict(self._painter.device),
            "capacity": self._painter.capacity.model_dump(mode="json"),
        }

    def start(self) -> None:
        """Say it now, adding the row if there is none, and from a thread until the process ends."""
        try:
            with self._database.writing("beat") as session:
                workers.beat(session, self._name, self._about)
        except DatabaseUnavailable as error:
            log.warning("worker_not_announced", worker=self._name, code=error.code)
        threading.Thread(target=self._repeat, name="announcer", daemon=True).start()

    def look(self) -> None:
        """Tell the row unless it knows, or the worker has left; a database that is away is told the next time."""
        about = self._about
        try:
            with self._database.reading() as session:
                known = workers.about(session, self._name)
            if known != about:
                with self._database.writing("about") as session:
                    workers.describe(session, self._name, about)
        except DatabaseUnavailable:  # the overseer says so
            return

    def _repeat(self) -> None:
        while True:
            time.sleep(_EVERY_S)
            self.look()
