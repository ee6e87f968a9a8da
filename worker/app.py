"""The Celery app of the workers, and what each process opens once.

Two kinds of process share it: `paint` (prefork with one spawned child, which alone imports TensorFlow) and
`maintenance` (beat and the queue of small chores). The child announces itself in the log when it is ready.

SIGTERM drains: the parent passes it on, and the child hands its job back between two chunks of steps.

Invariant: nothing here runs at import but reading settings; connections are opened by the process using them.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from functools import cache
from typing import Any

from billiard import active_children
from celery.beat import EmbeddedService, Scheduler
from celery.signals import setup_logging, worker_process_init, worker_shutting_down

from shared import logs, progress
from shared.broker import DISPATCH, Broker, create_celery
from shared.db.base import Database, connect
from shared.settings import Settings
from shared.storage import open_store
from worker.painter import open_painter
from worker.runner import Studio

#: How often beat dispatches, whatever nudges are lost, in seconds.
DISPATCH_EVERY_S = 1.0
#: How the parent tells its child to drain; Celery's pool keeps SIGTERM and SIGUSR1 for itself.
_DRAIN_SIGNAL = signal.SIGUSR2

log = logs.get(__name__)
_drain = threading.Event()
app = create_celery(Settings.load())
app.conf.update(
    include=["worker.tasks"],
    beat_schedule={"dispatch": {"task": DISPATCH, "schedule": DISPATCH_EVERY_S, "options": {"expires": 5}}},
)


@setup_logging.connect(weak=False)
def _configure_logs(**_: Any) -> None:
    settings = Settings.load()
    logs.configure(settings.log_format, settings.log_level)
    for chatty in ("celery.worker.strategy", "celery.app.trace", "celery.beat"):
        logging.getLogger(chatty).setLevel(logging.WARNING)  # lines for every message, dispatch's each second


@worker_process_init.connect(weak=False)
def _open_studio(**_: Any) -> None:
    signal.signal(_DRAIN_SIGNAL, lambda *_: _drain.set())
    studio()
    log.info("worker_ready", worker=studio().name, weights=studio().painter.weights["name"])


@worker_shutting_down.connect(weak=False)
def _pass_on_the_drain(**_: Any) -> None:
    for child in active_children():
        os.kill(child.pid, _DRAIN_SIGNAL)


def start_beat() -> None:
    """Run beat in a thread of this process; Celery's `-B` forks it, and a killed parent leaves it behind.

    It keeps its times in memory, since every chore may run at any time.
    """
    EmbeddedService(app, thread=True, scheduler_cls=Scheduler).start()


@cache
def database() -> Database:
    """Return this process's database."""
    return connect(Settings.load().database_url)


@cache
def broker() -> Broker:
    """Return this process's publisher."""
    return Broker(Settings.load())


@cache
def studio() -> Studio:
    """Return everything this process needs to paint; the first call loads TensorFlow and the weights."""
    settings = Settings.load()
    return Studio(
        name=f"{socket.gethostname()}:{os.getpid()}",
        settings=settings,
        database=database(),
        store=open_store(settings.storage_url),
        progress=progress.RedisProgress(progress.connect(settings.redis_url)),
        painter=open_painter(settings),
        draining=_drain.is_set,
    )
