"""The way to the workers: Celery over Redis, carrying job ids and nothing else.

Holds the names of queues and tasks and the client's configuration; the bodies are in `worker.tasks`. There
is no result backend: what became of a job is in the database.

Invariant: a request never waits for the broker, and a message that fails never loses a job, since dispatch
sends again whatever the database still shows as queued.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from shared import logs
from shared.settings import Settings

if TYPE_CHECKING:
    from celery import Celery

PAINT_QUEUE = "atelier.paint"
MAINTENANCE_QUEUE = "atelier.maintenance"
PAINT = "atelier.paint"
DISPATCH = "atelier.dispatch"

log = logs.get(__name__)

_ROUTES = {PAINT: {"queue": PAINT_QUEUE}, DISPATCH: {"queue": MAINTENANCE_QUEUE}}


def celery_url(redis_url: str) -> str:
    """Write a Redis URL the way Celery spells sockets: `redis+socket://` for `unix://`."""
    return redis_url.replace("unix://", "redis+socket://", 1)


def create_celery(settings: Settings) -> Celery:
    """Make the Celery client that both sides use."""
    from celery import Celery  # costs half a second, which the API saves until it first publishes

    app = Celery("atelier", broker=celery_url(settings.redis_url), set_as_current=False)
    app.conf.update(
        task_routes=_ROUTES,
        task_default_queue=MAINTENANCE_QUEUE,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        enable_utc=True,
        worker_prefetch_multiplier=1,
        worker_pool_start_method="spawn",  # a fork after TensorFlow has started hangs for ever
        worker_proc_alive_timeout=120,  # the child imports TensorFlow before it answers
        worker_cancel_long_running_tasks_on_connection_loss=False,  # Celery 6 turns it on
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "socket_timeout": 5,
            "socket_connect_timeout": 2,
            "socket_keepalive": not settings.redis_url.startswith("unix://"),
            "health_check_interval": 10,
            "visibility_timeout": 86_400,
        },
    )
    return app


class Broker:
    """Publishes to the queues."""

    def __init__(self, settings: Settings) -> None:
        """Prepare to publish; nothing is connected yet."""
        self._settings = settings
        self._nudged = threading.Event()
        self._lock = threading.Lock()
        self._nudger: threading.Thread | None = None

    @cached_property
    def _app(self) -> Celery:
        """The client, with connections that give up early."""
        app = create_celery(self._settings)
        app.conf.broker_transport_options.update(
            socket_timeout=0.5, socket_connect_timeout=0.5, health_check_interval=0
        )
        return app

    def send_paint(self, job_ids: Sequence[str]) -> bool:
        """Send jobs to be painted in one message; say whether the broker took it."""
        return self._send(PAINT, [list(job_ids)])

    def nudge_dispatch(self) -> None:
        """Have the maintenance process asked to dispatch now; return at once, whatever Redis does.

        A thread does the asking, since the Redis client tries for several seconds before it gives up. Many
        nudges at a time are one, and one that is lost is made good by beat within a second.
        """
        self._nudged.set()
        with self._lock:
            if self._nudger is None:
                self._nudger = threading.Thread(target=self._nudge, name="nudger", daemon=True)
                self._nudger.start()

    def _nudge(self) -> None:
        while self._nudged.wait():
            self._nudged.clear()
            self._send(DISPATCH, [])

    def _send(self, task_name: str, arguments: list[list[str]]) -> bool:
        from kombu.exceptions import OperationalError

        try:
            self._app.send_task(task_name, arguments, retry=False)
        except (OperationalError, OSError) as error:
            log.warning("publish_failed", task_name=task_name, reason=str(error))
            return False
        return True
