"""The message broker: Celery over Redis, carrying job ids and nothing else.

Holds the names of the queue and the task, and Celery's configuration; the task's body is in `worker.tasks`. There is no
result backend: results are in the database.

API and workers may be of two versions during an upgrade, so queue, task and arguments keep their names and meaning.

Invariant: losing a message never loses a job, because dispatch sends again whatever the database still shows as
queued.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from redis import RedisError

from shared import failpoints, logs
from shared.errors import BrokerUnavailable
from shared.messaging import progress
from shared.settings import Settings
from shared.states import Rank

if TYPE_CHECKING:
    from celery import Celery

PAINT_QUEUE = "atelier.paint"
PAINT = "atelier.paint"
#: The Redis lists of messages, by their rank, as Kombu names them: queue, separator, priority step. Celery reads one
#: when those before it are empty.
RANK_KEYS = (PAINT_QUEUE, *(f"{PAINT_QUEUE}\x06\x16{rank.value}" for rank in list(Rank)[1:]))

log = logs.get(__name__)


def celery_url(redis_url: str) -> str:
    """Convert a Redis URL to Celery's spelling: `redis+socket://` for `unix://`."""
    return redis_url.replace("unix://", "redis+socket://", 1)


def create_celery(settings: Settings, **options: Any) -> Celery:
    """Create the Celery application that API and workers use; `options` are passed to `Celery`."""
    from celery import Celery  # takes half a second; the API pays it only when it first publishes

    app = Celery("atelier", broker=celery_url(settings.redis_url), set_as_current=False, **options)
    app.conf.update(
        task_default_queue=PAINT_QUEUE,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        enable_utc=True,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,  # a prefetched message would wait behind an hour's job while others idle
        worker_pool_start_method="spawn",  # a fork after TensorFlow has started hangs forever
        worker_proc_alive_timeout=120,  # the child imports TensorFlow before it answers
        worker_cancel_long_running_tasks_on_connection_loss=False,  # Celery 6 changes the default
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "socket_timeout": 5,
            "socket_connect_timeout": 2,
            "socket_keepalive": not settings.redis_url.startswith("unix://"),
            "health_check_interval": 10,
            "priority_steps": [rank.value for rank in Rank],
            "visibility_timeout": 86_400,  # long, since dispatch itself sends lost messages again, within seconds
        },
    )
    return app


class QueueDepth(NamedTuple):
    """How many messages wait in the broker: first in line, of single jobs, and of batch items."""

    first: int
    single: int
    batched: int


class Broker:
    """Publishes to the workers' queue and reads its depth."""

    def __init__(self, settings: Settings) -> None:
        """Store the settings; connections are opened on first use."""
        self._settings = settings
        self._redis = progress.connect(settings.redis_url)

    @cached_property
    def _app(self) -> Celery:
        """The Celery application, with short timeouts, as requests wait for a message to be published."""
        app = create_celery(self._settings)
        app.conf.broker_transport_options.update(
            socket_timeout=0.5, socket_connect_timeout=0.5, health_check_interval=0
        )
        return app

    def get_depth(self) -> QueueDepth:
        """Return how many messages wait in the broker; raise `BrokerUnavailable`."""
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                for key in RANK_KEYS:
                    pipeline.llen(key)
                return QueueDepth(*pipeline.execute())
        except RedisError as error:
            raise BrokerUnavailable from error

    def send_paint(self, job_ids: Sequence[str], rank: Rank = Rank.SINGLE) -> bool:
        """Publish jobs as one message, read by its rank; return whether the broker accepted it."""
        from kombu.exceptions import OperationalError

        failpoints.reach("before_publish")
        try:
            self._app.send_task(PAINT, [list(job_ids)], queue=PAINT_QUEUE, priority=rank.value, retry=False)
        except (OperationalError, OSError) as error:
            log.warning("publish_failed", task_name=PAINT, reason=str(error))
            return False
        failpoints.reach("after_publish")
        return True
