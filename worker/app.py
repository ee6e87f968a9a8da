"""The Celery app of the painting workers, and what each process opens once.

The parent consumes messages and watches (`worker.process.watchdog`); its one spawned child alone imports TensorFlow and
paints. The child announces itself in the log, and in the worker's row, when it is ready.

SIGTERM drains: the parent passes it on, and the child hands its job back between two chunks of steps. A child
whose parent dies is killed by the kernel, as Celery asks it to; so no two children ever share a device.

Invariant: nothing here runs at import but reading settings; connections are opened by the process using them.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from functools import cache
from typing import Any

from billiard import active_children
from celery.app.amqp import AMQP
from celery.signals import (
    setup_logging,
    task_received,
    worker_process_init,
    worker_ready,
    worker_shutdown,
    worker_shutting_down,
)
from celery.worker import state
from kombu.connection import Connection

from shared import logs
from shared.db import workers
from shared.db.base import Database, connect
from shared.errors import DatabaseUnavailable
from shared.messaging import progress
from shared.messaging.broker import PAINT_QUEUE, Broker, create_celery
from shared.messaging.dispatch import Dispatcher
from shared.settings import Settings
from shared.storage.store import open_store
from worker.jobs.painter import open_painter
from worker.jobs.runner import Studio
from worker.process.registration import Announcer
from worker.process.watchdog import Overseer

#: How the parent tells its child to drain; Celery's pool keeps SIGTERM and SIGUSR1 for itself.
_DRAIN_SIGNAL = signal.SIGUSR2
#: Longest pause before a lost broker is tried again, in seconds; kombu's own grows to half a minute.
_RECONNECT_S = 2

log = logs.get(__name__)
_drain = threading.Event()
_spoilt = threading.Event()


class _EagerConnection(Connection):
    def ensure_connection(self, *args: Any, **options: Any) -> Any:
        return super().ensure_connection(*args, **{"interval_max": _RECONNECT_S, **options})  # type: ignore[no-untyped-call]


class _EagerAMQP(AMQP):  # type: ignore[misc]  # Celery has no types
    Connection = _EagerConnection


app = create_celery(Settings.load(), amqp=_EagerAMQP, include=["worker.tasks"])


@setup_logging.connect(weak=False)
def _configure_logs(**_: Any) -> None:
    settings = Settings.load()
    logs.configure(settings.log_format, settings.log_level)
    for chatty in ("celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(chatty).setLevel(logging.WARNING)  # lines for every message


# -- the child


@worker_process_init.connect(weak=False)
def _open_studio(**_: Any) -> None:
    signal.signal(_DRAIN_SIGNAL, lambda *_: _drain.set())
    announcer().start()
    log.info("worker_ready", worker=name(), weights=studio().painter.weights["name"])


def message_done() -> None:
    """Make room for the next message; a process that may be broken ends, and Celery's pool makes a fresh one."""
    dispatcher().nudge()
    announcer().refresh()
    if _spoilt.is_set():
        log.warning("child_replaced")
        logging.shutdown()
        os._exit(0)


# -- the parent


class _Tap:
    """Opens and closes the consumer's queue, from the consumer's own thread."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer

    def open(self) -> None:
        self._consumer.call_soon(self._consumer.add_task_queue, PAINT_QUEUE)

    def close(self) -> None:
        self._consumer.call_soon(self._consumer.cancel_task_queue, PAINT_QUEUE)


class _Pool:
    """Celery's pool of this process."""

    def children(self) -> list[int]:
        return [child.pid for child in active_children()]

    def busy(self) -> bool:
        return bool(state.active_requests)


@worker_ready.connect(weak=False)
def _oversee(sender: Any, **_: Any) -> None:
    overseer = Overseer(name(), Settings.load(), database(), Broker(Settings.load()), _Tap(sender), _Pool())

    def _end(**_: Any) -> None:
        overseer.end()
        for child in _Pool().children():
            os.kill(child, _DRAIN_SIGNAL)

    def _taken(**_: Any) -> None:
        overseer.message_taken()

    worker_shutting_down.connect(_end, weak=False)
    task_received.connect(_taken, weak=False)
    overseer.start()


@worker_shutdown.connect(weak=False)
def _leave(**_: Any) -> None:
    try:
        with database().writing("leave") as session:
            workers.remove(session, name())
    except DatabaseUnavailable:
        log.warning("worker_not_forgotten", worker=name())  # the sweeper forgets it in an hour


# -- what each process opens once


def name() -> str:
    """Return the worker's name, which parent and child share: `worker.__main__` puts it into the environment."""
    return Settings.load().worker_name


@cache
def database() -> Database:
    """Return this process's database."""
    return connect(Settings.load().database_url)


@cache
def dispatcher() -> Dispatcher:
    """Return this process's dispatcher."""
    settings = Settings.load()
    return Dispatcher(database(), Broker(settings), settings)


@cache
def studio() -> Studio:
    """Return everything this process needs to paint; the first call loads TensorFlow and the weights."""
    settings = Settings.load()
    return Studio(
        name=name(),
        settings=settings,
        database=database(),
        store=open_store(settings.storage_url),
        progress=progress.RedisProgress(progress.connect(settings.redis_url)),
        painter=open_painter(settings),
        draining=_drain.is_set,
        spoil=_spoilt.set,
    )


@cache
def announcer() -> Announcer:
    """Return what says in the worker's row what this process paints with."""
    return Announcer(name(), database(), studio().painter, lambda: studio().pictures.kept)
