"""Shows a batch's progress: uploads, finished pictures, and a bar for each picture that is being painted.

Everything goes to stderr; unless that is a terminal, as an occasional line.
"""

import threading
import time
from collections.abc import Sequence
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from api.client.models import Job
from shared.texts import printable

#: Minimum time between two lines without a terminal, in seconds.
_LINE_EVERY_S = 5.0
#: Most pictures that are shown with a bar each.
MOST_LINES = 8


class BatchBar:
    """The progress of one batch; any thread may report to it."""

    def __init__(self, total: int, to_upload: int, console: Console | None = None) -> None:
        """Prepare to show `total` pictures, of which `to_upload` are uploaded first."""
        self._console = console or Console(stderr=True)
        self._live = self._console.is_terminal
        self._lock = threading.Lock()
        self._line_at = time.monotonic()
        self._done, self._total = 0, total
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(complete_style="cyan", finished_style="green"),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            console=self._console,
            disable=not self._live,
            transient=False,
        )
        self._uploads = self._bar.add_task("uploaded", total=to_upload, visible=to_upload > 0)
        self._pictures = self._bar.add_task("done", total=total)
        self._running: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.running([])
        self._bar.stop()

    def uploaded(self) -> None:
        """Count a picture as uploaded."""
        self._bar.advance(self._uploads)

    def ended(self) -> None:
        """Count a picture as written or failed."""
        with self._lock:
            self._done += 1
            self._bar.advance(self._pictures)
            if not self._live and time.monotonic() - self._line_at >= _LINE_EVERY_S:
                self._line_at = time.monotonic()
                self._console.print(f"{self._done} of {self._total} done", highlight=False)

    def running(self, jobs: Sequence[Job]) -> None:
        """Show the pictures that are being painted now."""
        shown = {str(getattr(job, "key", job.id)): job for job in jobs[:MOST_LINES]}
        with self._lock:
            for key in set(self._running) - set(shown):
                self._bar.remove_task(self._running.pop(key))
            for key, job in shown.items():
                step, total = (job.progress.step, job.progress.total) if job.progress else (0, 1)
                if key not in self._running:
                    self._running[key] = self._bar.add_task(f"  {printable(key)[-40:]}", total=total)
                self._bar.update(self._running[key], completed=step, total=total)
