"""What a worker's process opens once and every job in it uses."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

from shared.db.base import Database
from shared.messaging.progress import ProgressWriter
from shared.settings import Settings
from shared.storage.store import ImageStore
from worker.jobs.image_loader import Pictures
from worker.jobs.painter import Painter

#: Pictures that are loaded or stored at a time: most of that is waiting for the disk.
_AT_ONCE = 8


@dataclass(frozen=True)
class Studio:
    """Everything a worker needs to run jobs."""

    name: str
    settings: Settings
    database: Database
    store: ImageStore
    progress: ProgressWriter
    painter: Painter
    #: Whether this process is asked to end: it hands its jobs back and takes no other.
    draining: Callable[[], bool] = lambda: False
    #: Called when this process should be replaced after the message: its memory may be spoilt.
    spoil: Callable[[], None] = lambda: None

    @cached_property
    def pool(self) -> Executor:
        """What loads and stores several pictures at a time."""
        return ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="pictures")

    @cached_property
    def pictures(self) -> Pictures:
        """Where jobs' pictures come from, with the styles that are kept."""
        return Pictures(self.store, max_px=self.settings.max_upload_px)
