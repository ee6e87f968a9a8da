"""Keeps the worker's row saying what its painter is, can do and holds: weights, device, capacity, styles, memory.

Said by the child, which alone has the painter; that the worker lives is said by its parent. A row that does not know
it, because the database was away or the row was forgotten meanwhile, is told within seconds.

Invariant: the painter is asked only between two messages, by the thread that paints, but for its memory, which may
be asked at any time; the row is written by another thread, so that no message waits for a database that is away.
"""

from __future__ import annotations

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

#: Time between two looks at the row, in seconds.
_EVERY_S = 5.0
#: Memory is told in units of that many bytes, so that a row is not written for every little change.
_MEMORY_UNIT = 2**24

log = logs.get(__name__)


class Announcer:
    """What one worker says of its painter."""

    def __init__(
        self, name: str, database: Database, painter: Painter, warm_styles: Callable[[], Sequence[str]] = tuple
    ) -> None:
        """Speak for the worker `name`, which keeps the pictures of `warm_styles`; nothing is written yet."""
        self._name = name
        self._database = database
        self._painter = painter
        self._warm_styles = warm_styles
        self._about: dict[str, Any] = {}
        self.refresh()

    def refresh(self) -> None:
        """Ask the painter again; the row is told a few seconds later."""
        self._about = {
            "process": os.getpid(),
            "weights": dict(self._painter.weights),
            "device": dict(self._painter.device),
            "capacity": self._painter.capacity.model_dump(mode="json"),
            "warm_styles": list(self._warm_styles()),
        }

    def start(self) -> None:
        """Say it now, adding the row if there is none, and from a thread until the process ends."""
        try:
            with self._database.writing("beat") as session:
                workers.record_heartbeat(session, self._name, self._now())
        except DatabaseUnavailable as error:
            log.warning("worker_not_announced", worker=self._name, code=error.code)
        threading.Thread(target=self._repeat, name="announcer", daemon=True).start()

    def look(self) -> None:
        """Tell the row unless it knows, or the worker has left; a database that is away is told the next time."""
        about = self._now()
        try:
            with self._database.reading() as session:
                known = workers.get_description(session, self._name)
            if known != about:
                with self._database.writing("about") as session:
                    workers.set_description(session, self._name, about)
        except DatabaseUnavailable:  # the overseer says so
            return

    def _now(self) -> dict[str, Any]:
        memory = {name: count // _MEMORY_UNIT * _MEMORY_UNIT for name, count in self._painter.memory.items()}
        return {**self._about, "memory": memory}

    def _repeat(self) -> None:
        while True:
            time.sleep(_EVERY_S)
            self.look()
