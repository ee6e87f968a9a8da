"""What a worker process opens once and every job in it uses."""

from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

from shared.db.base import Database
from shared.imaging.decoders.pool import open_decoders
from shared.messaging.progress import RedisProgress
from shared.settings import Settings
from shared.storage.store import ImageStore
from worker.jobs.image_loader import ImageLoader
from worker.jobs.painter import Painter

#: Images loaded or stored concurrently, which mostly means waiting for storage.
_AT_ONCE = 8


@dataclass(frozen=True)
class WorkerContext:
    """Everything that running jobs needs."""

    name: str
    settings: Settings
    database: Database
    store: ImageStore
    progress: RedisProgress
    painter: Painter
    #: Whether this process is asked to end: it hands its jobs back and claims no more.
    draining: Callable[[], bool] = lambda: False
    #: Marks this process as spoilt, to be replaced after the message: its memory may be corrupt.
    spoil: Callable[[], None] = lambda: None

    @cached_property
    def pool(self) -> Executor:
        """The threads that load and store images."""
        return ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="images")

    @cached_property
    def images(self) -> ImageLoader:
        """The loader of jobs' images, which caches styles."""
        return ImageLoader(self.store, open_decoders(self.settings.decoding))
