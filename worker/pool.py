"""Celery's pool, whose child can leave between two messages as one that has made its number of tasks does.

Celery itself replaces a child after a fixed number of tasks, or when the most memory that it ever held is above a fixed
number. Here the child decides, since only it knows what it holds now that it is idle.

Invariant: a child that leaves has answered for its message, and a message that was handed to it meanwhile goes to its
successor: the pool puts back what a dead child had not begun.
"""

import threading
from collections.abc import Callable
from typing import Any

from billiard.pool import EX_OK
from celery.concurrency import asynpool, prefork

_leaving = threading.Event()


def leave() -> None:
    """Have this child end once the message that it works on is answered; the pool starts another."""
    _leaving.set()


class _Child(asynpool.Worker):  # type: ignore[misc]  # Celery has no types
    wait_for_job: Callable[[], Any]

    def on_loop_start(self, pid: int) -> None:
        """Look, before each wait for a message, whether to leave."""
        super().on_loop_start(pid)
        receive = self.wait_for_job

        def receive_or_leave() -> Any:
            if _leaving.is_set():
                raise SystemExit(EX_OK)
            return receive()

        self.wait_for_job = receive_or_leave


class _Pool(asynpool.AsynPool):  # type: ignore[misc]
    Worker = _Child


class TaskPool(prefork.TaskPool):  # type: ignore[misc]
    """The pool for `celery worker -P custom`."""

    Pool = _Pool
