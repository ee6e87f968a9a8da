"""The Celery app of the painting workers, and what each process opens once.

The parent consumes messages and runs `worker.process.watchdog`. Its one spawned child imports TensorFlow and paints;
when ready, it says so in the log and in the worker's row.

SIGTERM drains: the parent signals the child, which hands its jobs back between two chunks of steps. Celery has the
kernel kill a child whose parent dies, so no two children ever share a device.

Invariant: importing this module only reads settings and makes the Celery app; each process opens its own connections.
"""

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
from worker import pool
from worker.jobs.context import WorkerContext
from worker.jobs.painter import open_painter
from worker.process.growth import Growth
from worker.process.registration import WorkerRegistration
from worker.process.watchdog import Watchdog

#: The signal by which the parent drains its child; Celery's pool uses SIGTERM and SIGUSR1 itself.
_DRAIN_SIGNAL = signal.SIGUSR2
#: Longest pause between two attempts to reconnect to the broker, in seconds; kombu's own grows to half a minute.
_RECONNECT_S = 2

log = logs.get(__name__)
_drain = threading.Event()
_spoilt = threading.Event()
_failed = threading.Event()


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
        logging.getLogger(chatty).setLevel(logging.WARNING)  # they log every message


# -- the child


@worker_process_init.connect(weak=False)
def _open_context(**_: Any) -> None:
    signal.signal(_DRAIN_SIGNAL, lambda *_: _drain.set())
    registration().start()
    log.info("worker_ready", worker=name(), weights=context().painter.weights["name"])


def message_done() -> None:
    """Ask for the next message and update the registration; or leave, for the pool to start another process."""
    if _spoilt.is_set():
        log.warning("child_replaced", reason="error")
        pool.leave()
    elif _growth().is_over(context().painter.rest() - context().images.cached_bytes) and not _drain.is_set():
        log.info("child_replaced", reason="growth", **_growth().numbers)
        pool.leave()
    else:  # messages that wait for a process to start are better taken by another worker
        dispatcher().nudge()
        registration().refresh()


# -- the parent


class _CeleryConsumer:
    """Celery's consumer, which must be called from its own thread."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer

    def open(self) -> None:
        self._consumer.call_soon(self._consumer.add_task_queue, PAINT_QUEUE)

    def close(self) -> None:
        self._consumer.call_soon(self._consumer.cancel_task_queue, PAINT_QUEUE)


class _Pool:
    """Celery's pool of child processes."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer

    def children(self) -> list[int]:
        return [child.pid for child in active_children()]

    def busy(self) -> bool:
        return bool(state.active_requests)

    def refill(self) -> None:
        self._consumer.call_soon(self._consumer.pool.maintain_pool)


@worker_ready.connect(weak=False)
def _start_watchdog(sender: Any, **_: Any) -> None:
    settings, children = Settings.load(), _Pool(sender)
    watchdog = Watchdog(name(), settings, database(), Broker(settings), _CeleryConsumer(sender), children)

    def _end(**_: Any) -> None:
        watchdog.end()
        for child in children.children():
            os.kill(child, _DRAIN_SIGNAL)

    worker_shutting_down.connect(_end, weak=False)
    task_received.connect(lambda **_: watchdog.message_taken(), weak=False)
    watchdog.start(died=_failed.set)


@worker_shutdown.connect(weak=False)
def _leave(sender: Any, **_: Any) -> None:
    if sender.exitcode:
        _failed.set()
    try:
        with database().writing("leave") as session:
            workers.remove(session, name())
    except DatabaseUnavailable:
        log.warning("worker_not_removed", worker=name())  # retention deletes the row in an hour


def exit_code() -> int:
    """Return the exit code of a worker that has ended: 1 after an error, which Celery would keep to itself."""
    return int(_failed.is_set())


# -- what each process opens once


def name() -> str:
    """Return the worker's name, which parent and child share through the environment (set by `worker.__main__`)."""
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
def context() -> WorkerContext:
    """Return what this process needs to run jobs; the first call loads TensorFlow and the weights."""
    settings = Settings.load()
    return WorkerContext(
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
def registration() -> WorkerRegistration:
    """Return what describes this process's painter in the worker's row."""
    return WorkerRegistration(name(), database(), context().painter, _warm_styles)


def _warm_styles() -> list[str]:
    """List the styles that are measured, perhaps by an earlier process, and those that are only decoded."""
    return list(dict.fromkeys([*context().painter.kept_styles, *context().images.cached_styles]))


@cache
def _growth() -> Growth:
    return Growth(Settings.load().child_growth_bytes)
